// Flex Consumption plan and function app, with all app settings in one place.
// https://learn.microsoft.com/azure/azure-functions/flex-consumption-plan

param common { token: string, location: string, tags: { *: string } }
param identityId string // Resource id of the app's managed identity
param identityClientId string // Client id of the app's managed identity
param storageName string // Name of the storage account
param deploymentContainer string // Address of the container that holds the deployed package
param subnetId string // Resource id of the subnet for outgoing traffic; empty = no network
param allowedAddresses string[] // IPv4 addresses or ranges that may call the app; empty = anyone with the key
param instanceMemoryMB int
param maximumInstanceCount int
param zoneRedundant bool
param settings object // App settings of the product; empty ones are left out
// The vault of the secrets, which the identity may read: only once that is so are references made to it.
param vaultName string
param secretNames { *: string } // Name in the vault by app setting
param insightsConnectionString string // Connection string of Application Insights

// The same as in .python-version and in the workflows.
var pythonVersion = '3.13'

// Notifications at a time on one instance, which is as many as there are threads. Flex Consumption's default for Python is
// one: https://learn.microsoft.com/azure/azure-functions/functions-concurrency#http-trigger-concurrency
var concurrency = 16

var given = toObject(filter(items(settings), item => !empty(item.value)), item => item.key, item => item.value)
var secrets = mapValues(secretNames, name => '@Microsoft.KeyVault(VaultName=${vaultName};SecretName=${name})')

resource plan 'Microsoft.Web/serverfarms@2024-11-01' = {
  name: 'plan-${common.token}'
  location: common.location
  tags: common.tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: { reserved: true, zoneRedundant: zoneRedundant }
}

resource app 'Microsoft.Web/sites@2024-11-01' = {
  name: 'func-${common.token}'
  location: common.location
  tags: union(common.tags, { 'azd-service-name': 'app' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identityId}': {} }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    publicNetworkAccess: 'Enabled'
    keyVaultReferenceIdentity: identityId // at the site: under siteConfig it has no effect
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    siteConfig: {
      http20Enabled: true
      minTlsVersion: '1.2'
      ipSecurityRestrictionsDefaultAction: empty(allowedAddresses) ? 'Allow' : 'Deny'
      ipSecurityRestrictions: [
        for (address, index) in allowedAddresses: {
          name: 'allowed-${index}'
          action: 'Allow'
          priority: 100 + index
          ipAddress: contains(address, '/') ? address : '${address}/32'
        }
      ]
    }
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: deploymentContainer
          authentication: { type: 'UserAssignedIdentity', userAssignedIdentityResourceId: identityId }
        }
      }
      runtime: { name: 'python', version: pythonVersion }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
        triggers: { http: { perInstanceConcurrency: concurrency } }
      }
    }
  }
}

// The whole set: what is added by hand elsewhere is removed by the next provisioning. There must never be a plain
// AzureWebJobsStorage, which would beat the identity: https://github.com/Azure/azure-functions-host/issues/11796
resource appSettings 'Microsoft.Web/sites/config@2024-11-01' = {
  parent: app
  name: 'appsettings'
  properties: union(given, secrets, {
    AzureWebJobsStorage__accountName: storageName
    AzureWebJobsStorage__credential: 'managedidentity'
    AzureWebJobsStorage__clientId: identityClientId
    APPLICATIONINSIGHTS_CONNECTION_STRING: insightsConnectionString
    APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
    PYTHON_THREADPOOL_THREAD_COUNT: string(concurrency)
  })
}

// No passwords for publishing: deployments use Entra ID.
resource noPassword 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-11-01' = [
  for item in ['ftp', 'scm']: {
    parent: app
    name: any(item)
    properties: { allow: false }
  }
]

output name string = app.name
output url string = 'https://${app.properties.defaultHostName}'
