// Key Vault for the app's secrets. Their values are never set here: infra/hooks/set_secrets.py does that, once.

@description('Name of the vault.')
@minLength(3)
@maxLength(24)
param name string

@description('Region.')
param location string

@description('Tags of every resource.')
param tags object

@description('Object id of the app\'s managed identity, which reads secrets.')
param principalId string

@description('Object id of who sets the secrets; empty = nobody gets a role.')
param adminPrincipalId string

@description('What `adminPrincipalId` is.')
param adminPrincipalType string

@description('Reachable through private endpoints, and from `adminAddresses`, only.')
param private bool

@description('IPv4 addresses or ranges that may reach the secrets all the same.')
param adminAddresses array

@description('Keep a deleted vault for 90 days even from its owner.')
param purgeProtection bool

@description('Resource id of the Log Analytics workspace for the audit log.')
param workspaceId string

// https://learn.microsoft.com/azure/key-vault/general/rbac-guide
var secretsUser = '4633458b-17de-408a-b874-0445c86b69e6'
var secretsOfficer = 'b86a8fe4-44ce-4948-aee5-eccb2c155cd7'

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    enableSoftDelete: true
    softDeleteRetentionInDays: 90
    enablePurgeProtection: purgeProtection ? true : null // it cannot be switched off again, and false is refused
    publicNetworkAccess: private && empty(adminAddresses) ? 'Disabled' : 'Enabled'
    networkAcls: {
      bypass: 'None'
      defaultAction: private ? 'Deny' : 'Allow'
      ipRules: [for address in (private ? adminAddresses : []): {
        value: address
      }]
    }
  }
}

resource reads 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: vault
  name: guid(vault.id, principalId, secretsUser)
  properties: {
    description: 'Key Vault Secrets User'
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', secretsUser)
  }
}

// A pipeline deploys, it does not type secrets in: only people and groups get this role.
resource writes 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(adminPrincipalId) && adminPrincipalType != 'ServicePrincipal') {
  scope: vault
  name: guid(vault.id, adminPrincipalId, secretsOfficer)
  properties: {
    description: 'Key Vault Secrets Officer'
    principalId: adminPrincipalId
    principalType: any(adminPrincipalType)
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', secretsOfficer)
  }
}

resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: vault
  name: 'audit'
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        category: 'AuditEvent'
        enabled: true
      }
    ]
  }
}

@description('Name of the vault.')
output name string = vault.name

@description('Resource id of the vault.')
output id string = vault.id
