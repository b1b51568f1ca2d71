// Storage account and vault: by role only, no keys, no anonymous access. What is kept there is told in docs/security.md.

param common { token: string, location: string, tags: { *: string } }
param principalId string // Object id of the app's managed identity
param adminPrincipalId string // Object id of the person or group who sets the secrets; empty = nobody gets a role
param adminPrincipalType string

// Closed to the internet but for these IPv4 addresses or ranges; null = open to whoever has a role.
param private string[]?
param storageSku string
param purgeProtection bool
param workspaceId string // Resource id of the Log Analytics workspace for audit logs
param storageAudit bool
param secretNames { *: string } // Name in the vault by app setting

// Row changes, and what the host gave up on; containers: the deployed package, rows too large for a message or an entity,
// the list of all rows that people search in.
var queues = ['row-changes', 'row-changes-poison', 'sweeps', 'sweeps-poison']
var tables = ['PushNotifications', 'EventLinks', 'DeadLetters', 'AcumaticaSessions', 'Mappings', 'Runs', 'Held', 'Sweeps']
var containers = ['deployments', 'row-changes', 'dead-letters', 'search']

// https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/storage
// The host keeps leases and keys in blobs (owner, not contributor, as the host's documentation asks for), and moves
// messages to the poison queue, for which the narrower roles of queues do not suffice.
var roles = {
  'Storage Blob Data Owner': 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
  'Storage Queue Data Contributor': '974c5e8b-45b9-4653-ba55-5f855dd0fb88'
  'Storage Table Data Contributor': '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'
}

resource account 'Microsoft.Storage/storageAccounts@2025-01-01' = {
  name: 'st${common.token}'
  location: common.location
  tags: common.tags
  kind: 'StorageV2'
  sku: { name: any(storageSku) }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: private != null && empty(private) ? 'Disabled' : 'Enabled'
    networkAcls: {
      bypass: 'None'
      defaultAction: private == null ? 'Allow' : 'Deny'
      ipRules: [for address in (private ?? []): { value: address, action: 'Allow' }]
    }
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-01-01' = {
  parent: account
  name: 'default'
}

resource container 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-01-01' = [
  for item in containers: {
    parent: blobs
    name: item
    properties: { publicAccess: 'None' }
  }
]

resource queueService 'Microsoft.Storage/storageAccounts/queueServices@2025-01-01' = {
  parent: account
  name: 'default'
}

resource queue 'Microsoft.Storage/storageAccounts/queueServices/queues@2025-01-01' = [
  for item in queues: {
    parent: queueService
    name: item
  }
]

resource tableService 'Microsoft.Storage/storageAccounts/tableServices@2025-01-01' = {
  parent: account
  name: 'default'
}

resource table 'Microsoft.Storage/storageAccounts/tableServices/tables@2025-01-01' = [
  for item in tables: {
    parent: tableService
    name: item
  }
]

// A message that is sent again writes its blob anew, and stays invisible for 7 days at most: a blob of row-changes that
// is older belongs to no message, unless the app has stood still for that long, or to removals that nobody decided on.
resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2025-01-01' = {
  parent: account
  name: 'default'
  dependsOn: [blobs]
  properties: {
    policy: {
      rules: [
        for rule in [
          { name: 'rows-of-messages', container: 'row-changes', days: 400 }
          { name: 'rows-of-dead-letters', container: 'dead-letters', days: 365 }
        ]: {
          name: rule.name
          type: 'Lifecycle'
          enabled: true
          definition: {
            filters: { blobTypes: ['blockBlob'], prefixMatch: ['${rule.container}/'] }
            actions: { baseBlob: { delete: { daysAfterModificationGreaterThan: rule.days } } }
          }
        }
      ]
    }
  }
}

resource role 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for item in items(roles): {
    scope: account
    name: guid(account.id, principalId, item.value)
    properties: {
      description: item.key
      principalId: principalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', item.value)
    }
  }
]

// Who read, wrote and deleted what. The host's polling is in it, so that it costs; off unless asked for.
var audit = { workspaceId: workspaceId, logs: [{ categoryGroup: 'audit', enabled: true }] }

resource blobLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (storageAudit) {
  scope: blobs
  name: 'audit'
  properties: audit
}

resource queueLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (storageAudit) {
  scope: queueService
  name: 'audit'
  properties: audit
}

resource tableLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (storageAudit) {
  scope: tableService
  name: 'audit'
  properties: audit
}

// ---- The vault. Values of secrets are never set here: infra/hooks/set_secrets.py does that. ----

// https://learn.microsoft.com/azure/key-vault/general/rbac-guide
// Who has the second may read the secrets too. It stays when somebody else deploys: docs/deploy.md, "Changing secrets".
var vaultRoles = [
  { name: 'Key Vault Secrets User', id: '4633458b-17de-408a-b874-0445c86b69e6', who: principalId, type: 'ServicePrincipal' }
  { name: 'Key Vault Secrets Officer', id: 'b86a8fe4-44ce-4948-aee5-eccb2c155cd7', who: adminPrincipalId, type: adminPrincipalType }
]

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  name: 'kv-${common.token}'
  location: common.location
  tags: common.tags
  properties: {
    tenantId: tenant().tenantId
    sku: { family: 'A', name: 'standard' }
    enableRbacAuthorization: true
    enableSoftDelete: true
    softDeleteRetentionInDays: 90
    enablePurgeProtection: purgeProtection ? true : null // it cannot be switched off again, and false is refused
    publicNetworkAccess: private != null && empty(private) ? 'Disabled' : 'Enabled'
    networkAcls: {
      bypass: 'None'
      defaultAction: private == null ? 'Allow' : 'Deny'
      ipRules: [for address in (private ?? []): { value: address }]
    }
  }
}

resource vaultRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for item in vaultRoles: if (!empty(item.who)) {
    scope: vault
    name: guid(vault.id, item.who, item.id)
    properties: {
      description: item.name
      principalId: item.who
      principalType: any(item.type)
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', item.id)
    }
  }
]

resource vaultLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: vault
  name: 'audit'
  properties: {
    workspaceId: workspaceId
    logs: [{ category: 'AuditEvent', enabled: true }]
  }
}

output storageName string = account.name
output storageId string = account.id
output deploymentContainer string = '${account.properties.primaryEndpoints.blob}deployments'
output vaultName string = vault.name
output vaultId string = vault.id
// App settings that refer to the vault. Whoever reads them here comes after the role that lets the identity read it.
output references object = mapValues(secretNames, name => '@Microsoft.KeyVault(VaultName=${vault.name};SecretName=${name})')
