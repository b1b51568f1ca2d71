// The app, and with modules/ all that it needs, in one resource group, which azd makes or asks for.
targetScope = 'resourceGroup'

import { AlertRules } from 'modules/alerts.bicep'

@description('Name of the azd environment; part of the tag by which azd finds the resources.')
@minLength(1)
@maxLength(64)
param environmentName string

@description('Region; one of `az functionapp list-flexconsumption-locations`.')
@metadata({ azd: { type: 'location' } })
param location string

@description('Object id of who deploys, from azd: may set (and read) the secrets. Empty = nobody gets that role.')
param principalId string = ''

@description('What `principalId` is, from azd. A `ServicePrincipal` (a pipeline) gets no role.')
@allowed(['User', 'Group', 'ServicePrincipal'])
param principalType string = 'User'

@description('Further tags of every resource, as a JSON object.')
param extraTags { *: string } = {}

@description('The settings of the product: those that main.parameters.json names, by their own names. docs/settings.md explains each; the app checks the bounds, and where one is missing or empty its default counts.')
param settings { *: string } = {}

@description('The settings with addresses and secrets of relays, by their names (docs/relay.md), as a JSON array.')
param relays string[] = []

// ---- The platform ----

@description('Memory of an instance in MB.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

@description('Instances at most for each function that scales by itself; the platform may ask for 40 or more.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int = 40

@description('Spread instances over the zones of the region; to be decided before the first deployment.')
param zoneRedundant bool = false

@description('Copies of the data: in one building, in three zones of the region, or in a second region too.')
@allowed(['Standard_LRS', 'Standard_ZRS', 'Standard_GRS', 'Standard_GZRS'])
param storageSku string = 'Standard_LRS'

@description('Keep a deleted vault for 90 days even from its owner. It cannot be switched off again.')
param keyVaultPurgeProtection bool = false

@description('IPv4 addresses or ranges that may call the app (Acumatica\'s, and your own), as a JSON array; empty = anyone with the key.')
param allowedAddresses string[] = []

// ---- The network ----

@description('Close storage and Key Vault to the internet, and reach them through private endpoints.')
param vnetEnabled bool = false

@description('Give the app one fixed address for all that it calls (Acumatica\'s firewall may want it).')
param natGateway bool = false

@description('IPv4 range of the network that is made, /24 or larger.')
param vnetAddressPrefix string = '10.83.0.0/24'

@description('Resource id of an existing subnet for the app, delegated to Microsoft.App/environments; empty = a network is made.')
param appSubnetId string = ''

@description('Resource id of an existing subnet for private endpoints; empty = in the network that is made.')
param endpointSubnetId string = ''

@description('Resource id of the group that has the private DNS zones; `policy` = Azure Policy makes the records; empty = zones are made.')
param dnsZonesGroupId string = ''

@description('IPv4 addresses or ranges that may reach storage and Key Vault all the same, as a JSON array.')
param adminAddresses string[] = []

// ---- Logs and alerts ----

@description('Resource id of an existing Log Analytics workspace; empty = a new one.')
param workspaceId string = ''

@description('Days that logs are kept, in a new workspace.')
@minValue(30)
@maxValue(730)
param logRetentionDays int = 30

@description('Gigabytes a day after which logs are dropped, in a new workspace; -1 = no cap.')
@minValue(-1)
@maxValue(1000)
param logDailyCapGb int = 1

@description('Log who reads, writes and deletes data in storage. It costs: the app\'s own polling is in it.')
param storageAudit bool = false

@description('E-mail address that alerts go to; empty = they are shown in the portal only.')
param alertEmail string = ''

@description('What differs from the alerts\' defaults (modules/alerts.bicep), as a JSON object.')
param alertRules AlertRules = {}

@description('Alert when no notification came in for so many hours, once one has; 0 = off.')
@minValue(0)
@maxValue(720)
param silenceHours int = 48

@description('Leave Saturdays and Sundays (UTC) out of these hours.')
param silenceWeekdaysOnly bool = false

var common = {
  token: toLower(uniqueString(resourceGroup().id, environmentName, location))
  location: location
  tags: union(extraTags, { 'azd-env-name': environmentName })
}

// A typing error is refused. What is empty, as azd hands on what is not set, is left out.
var known = loadJsonContent('main.parameters.json', 'parameters.settings.value')
var strange = filter(objectKeys(settings), name => !contains(known, name))
var given = empty(strange)
  ? toObject(filter(items(settings), item => !empty(item.value)), item => item.key, item => item.value)
  : fail('There is no setting ${join(strange, ', ')}.')
var otherTenant = contains(given, 'GRAPH_TENANT_ID')

// Secrets are references, whose values infra/hooks/set_secrets.py sets. One that has none yet makes the app say so.
var secretNames = union(
  { ACUMATICA_PASSWORD: 'acumatica-password', RUNS_KEY: 'runs-key' },
  (given.?ACUMATICA_AUTH ?? '') == 'cookie' ? {} : { ACUMATICA_CLIENT_SECRET: 'acumatica-client-secret' },
  otherTenant ? { GRAPH_CLIENT_SECRET: 'graph-client-secret' } : {},
  toObject(relays, name => name, name => toLower(replace(name, '_', '-')))
)

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-${common.token}'
  location: location
  tags: common.tags
}

module monitoring 'modules/monitoring.bicep' = {
  params: {
    common: common
    principalId: identity.properties.principalId
    existingWorkspaceId: workspaceId
    retentionDays: logRetentionDays
    dailyCapGb: logDailyCapGb
  }
}

module data 'modules/data.bicep' = {
  params: {
    common: common
    principalId: identity.properties.principalId
    adminPrincipalId: principalType == 'ServicePrincipal' ? '' : principalId
    adminPrincipalType: principalType
    private: vnetEnabled ? adminAddresses : null
    storageSku: storageSku
    purgeProtection: keyVaultPurgeProtection
    workspaceId: monitoring.outputs.workspaceId
    storageAudit: storageAudit
    secretNames: secretNames
  }
}

module network 'modules/network.bicep' = if (vnetEnabled || natGateway) {
  params: {
    common: common
    addressPrefix: vnetAddressPrefix
    natGateway: natGateway
    existingAppSubnetId: appSubnetId
    existingEndpointSubnetId: endpointSubnetId
    dnsZonesGroupId: dnsZonesGroupId
    storageId: vnetEnabled ? data.outputs.storageId : ''
    vaultId: vnetEnabled ? data.outputs.vaultId : ''
  }
}

// ---- The app: https://learn.microsoft.com/azure/azure-functions/flex-consumption-plan ----

// The same as in .python-version and in the workflows.
var pythonVersion = '3.13'

// Notifications at a time on one instance, which is as many as there are threads. Flex Consumption's default for Python is
// one: https://learn.microsoft.com/azure/azure-functions/functions-concurrency#http-trigger-concurrency
var concurrency = 16

var subnetId = vnetEnabled || natGateway ? network!.outputs.appSubnetId : appSubnetId

resource plan 'Microsoft.Web/serverfarms@2024-11-01' = {
  name: 'plan-${common.token}'
  location: location
  tags: common.tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: { reserved: true, zoneRedundant: zoneRedundant }
}

resource app 'Microsoft.Web/sites@2024-11-01' = {
  name: 'func-${common.token}'
  location: location
  tags: union(common.tags, { 'azd-service-name': 'app' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identity.id}': {} }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    publicNetworkAccess: 'Enabled'
    keyVaultReferenceIdentity: identity.id // at the site: under siteConfig it has no effect
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
          value: data.outputs.deploymentContainer
          authentication: { type: 'UserAssignedIdentity', userAssignedIdentityResourceId: identity.id }
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
  // Another tenant's secret never meets the managed identity: without an id of its own there, the app says what is missing.
  properties: union(otherTenant ? {} : { GRAPH_CLIENT_ID: identity.properties.clientId }, given, data.outputs.references, {
    AzureWebJobsStorage__accountName: data.outputs.storageName
    AzureWebJobsStorage__credential: 'managedidentity'
    AzureWebJobsStorage__clientId: identity.properties.clientId
    APPLICATIONINSIGHTS_CONNECTION_STRING: monitoring.outputs.connectionString
    APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identity.properties.clientId};Authorization=AAD'
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

var url = 'https://${app.properties.defaultHostName}'

module alerts 'modules/alerts.bicep' = {
  params: {
    common: common
    insightsId: monitoring.outputs.insightsId
    appUrl: url
    email: alertEmail
    rules: alertRules
    silenceHours: silenceHours
    silenceWeekdaysOnly: silenceWeekdaysOnly
  }
}

// For azd, the hooks and docs/deploy.md.
output AZURE_LOCATION string = location
output AZURE_TENANT_ID string = tenant().tenantId
output AZURE_RESOURCE_GROUP string = resourceGroup().name
output AZURE_FUNCTION_NAME string = app.name
output SERVICE_APP_NAME string = app.name
output SERVICE_APP_URI string = url
output AZURE_KEY_VAULT_NAME string = data.outputs.vaultName
output AZURE_STORAGE_ACCOUNT_NAME string = data.outputs.storageName
output APP_IDENTITY_CLIENT_ID string = identity.properties.clientId
output APP_IDENTITY_OBJECT_ID string = identity.properties.principalId
output APP_OUTGOING_ADDRESS string = natGateway ? network!.outputs.outgoingAddress : ''
output APP_INSIGHTS_ID string = monitoring.outputs.appId
