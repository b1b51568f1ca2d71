// Everything, in one resource group: the module of main.bicep, and the entry for a group that someone else owns.
targetScope = 'resourceGroup'

import { AlertRules } from 'modules/alerts.bicep'

@description('Name of the azd environment; part of the tag by which azd finds the resources.')
@minLength(1)
@maxLength(64)
param environmentName string

@description('Region; one of `az functionapp list-flexconsumption-locations`.')
@metadata({
  azd: {
    type: 'location'
  }
})
param location string

@description('Object id of who deploys: may set the secrets. Empty = nobody gets that role.')
param principalId string = ''

@description('What `principalId` is. A `ServicePrincipal` (a pipeline) gets no role.')
@allowed(['User', 'Group', 'ServicePrincipal'])
param principalType string = 'User'

@description('Further tags of every resource, as JSON.')
param extraTags object = {}

// ---- The product's settings; README.md tells what each is for ----

@description('Address of the Acumatica site, such as `https://erp.example.com/site`.')
@minLength(1)
param acumaticaUrl string

@description('Tenant (its login name); notifications of others are refused.')
@minLength(1)
param acumaticaTenant string

@description('The dedicated API user.')
@minLength(1)
param acumaticaUsername string

@description('Client ID of the Connected Application, `GUID@Tenant`; for `oauth`.')
param acumaticaClientId string = ''

@description('`oauth` (Connected Application) or `cookie` (plain sign-in).')
@allowed(['oauth', 'cookie'])
param acumaticaAuth string = 'oauth'

@description('API sessions (licence seats) in use at most, over all instances.')
@minValue(1)
@maxValue(50)
param acumaticaMaxSessions int = 1

@description('Seconds that an idle session is kept before it is signed out.')
@minValue(0)
@maxValue(300)
param acumaticaLingerSeconds int = 20

@description('Seconds after which the session of a dead instance is taken over.')
@minValue(1)
@maxValue(600)
param acumaticaLeaseSeconds int = 30

@description('Seconds after which the site itself ends an abandoned session; 0 = the app\'s own value.')
@minValue(0)
param acumaticaSessionTimeoutSeconds int = 0

@description('Entra tenant of the mailboxes, where it is not that of the subscription; an app registration there is used then.')
param graphTenantId string = ''

@description('That app registration; empty = the app\'s managed identity.')
param graphClientId string = ''

@description('If set, all events go to this mailbox.')
param testMailbox string = ''

@description('Take notifications in, and write nothing until this is false again.')
param syncPaused bool = false

@description('MiB of a notification at most.')
@minValue(1)
@maxValue(100)
param maxNotificationMib int = 32

@description('Seconds that a removal waits for the other half of an update.')
@minValue(0)
@maxValue(3600)
param deleteGraceSeconds int = 30

@description('Hours of trying after which a change becomes a dead letter.')
@minValue(1)
@maxValue(720)
param deferMaxHours int = 48

@description('Days that removed rows and received notifications are remembered.')
@minValue(1)
@maxValue(365)
param retentionDays int = 30

@description('Seconds that one worker may work on a row; above `functionTimeout` of host.json.')
@minValue(1)
@maxValue(3600)
param claimSeconds int = 360

@description('Seconds that an answer of Graph or Acumatica is waited for.')
@minValue(1)
@maxValue(300)
param requestTimeoutSeconds int = 100

@description('Folder of the mapping files, from the app\'s root.')
@minLength(1)
param mappingsDir string = 'mappings'

// ---- The platform ----

@description('Memory of an instance in MB.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

@description('Instances at most for each function that scales by itself; the platform may ask for 40 or more.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int = 40

@description('Copies of the data: in one building, in three zones of the region, or in a second region too.')
@allowed(['Standard_LRS', 'Standard_ZRS', 'Standard_GRS', 'Standard_GZRS'])
param storageSku string = 'Standard_LRS'

@description('Keep a deleted vault for 90 days even from its owner. It cannot be switched off again.')
param keyVaultPurgeProtection bool = false

@description('Close storage and Key Vault to the internet, and reach them through private endpoints.')
param vnetEnabled bool = false

@description('IPv4 range of that network, /24 or larger.')
param vnetAddressPrefix string = '10.83.0.0/24'

@description('IPv4 addresses or ranges that may reach storage and Key Vault all the same, as a JSON array.')
param adminAddresses array = []

@description('IPv4 addresses or ranges that may call the app (Acumatica\'s, and your own), as a JSON array; empty = anyone with the key.')
param allowedAddresses array = []

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

@description('What differs from the alerts\' defaults (modules/alerts.bicep), as JSON.')
param alertRules AlertRules = {}

@description('Alert when no notification came in for so many hours; 0 = off.')
@allowed([0, 1, 2, 3, 4, 5, 6, 24, 48])
param silenceHours int = 0

var token = toLower(uniqueString(resourceGroup().id, environmentName, location))
var tags = union(extraTags, {
  'azd-env-name': environmentName
})
var vaultName = 'kv-${token}'

// What the app reads from its environment (handlers/settings.py). Empty = the app's own default.
var settings = {
  ACUMATICA_URL: acumaticaUrl
  ACUMATICA_TENANT: acumaticaTenant
  ACUMATICA_USERNAME: acumaticaUsername
  ACUMATICA_CLIENT_ID: acumaticaClientId
  ACUMATICA_AUTH: acumaticaAuth
  ACUMATICA_MAX_SESSIONS: string(acumaticaMaxSessions)
  ACUMATICA_LINGER_SECONDS: string(acumaticaLingerSeconds)
  ACUMATICA_LEASE_SECONDS: string(acumaticaLeaseSeconds)
  ACUMATICA_SESSION_TIMEOUT_SECONDS: acumaticaSessionTimeoutSeconds == 0 ? '' : string(acumaticaSessionTimeoutSeconds)
  GRAPH_TENANT_ID: graphTenantId
  GRAPH_CLIENT_ID: empty(graphClientId) ? identity.properties.clientId : graphClientId
  TEST_MAILBOX: testMailbox
  SYNC_PAUSED: syncPaused ? 'true' : ''
  MAX_NOTIFICATION_MIB: string(maxNotificationMib)
  DELETE_GRACE_SECONDS: string(deleteGraceSeconds)
  DEFER_MAX_HOURS: string(deferMaxHours)
  RETENTION_DAYS: string(retentionDays)
  CLAIM_SECONDS: string(claimSeconds)
  REQUEST_TIMEOUT_SECONDS: string(requestTimeoutSeconds)
  MAPPINGS_DIR: mappingsDir
}

// Secrets are references; infra/hooks/set_secrets.py sets the values. A reference that is empty so far makes the app say so.
var secretNames = union({
  ACUMATICA_PASSWORD: 'acumatica-password'
  RUNS_KEY: 'runs-key'
}, acumaticaAuth == 'oauth' ? {
  ACUMATICA_CLIENT_SECRET: 'acumatica-client-secret'
} : {}, empty(graphTenantId) ? {} : {
  GRAPH_CLIENT_SECRET: 'graph-client-secret'
})
var secrets = mapValues(secretNames, name => '@Microsoft.KeyVault(VaultName=${vaultName};SecretName=${name})')

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-${token}'
  location: location
  tags: tags
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  params: {
    token: token
    location: location
    tags: tags
    principalId: identity.properties.principalId
    existingWorkspaceId: workspaceId
    retentionDays: logRetentionDays
    dailyCapGb: logDailyCapGb
  }
}

module storage 'modules/storage.bicep' = {
  name: 'storage'
  params: {
    name: 'st${token}'
    location: location
    tags: tags
    principalId: identity.properties.principalId
    private: vnetEnabled
    adminAddresses: adminAddresses
    sku: storageSku
    auditWorkspaceId: storageAudit ? monitoring.outputs.workspaceId : ''
  }
}

module vault 'modules/vault.bicep' = {
  name: 'vault'
  params: {
    name: vaultName
    location: location
    tags: tags
    principalId: identity.properties.principalId
    adminPrincipalId: principalId
    adminPrincipalType: principalType
    private: vnetEnabled
    adminAddresses: adminAddresses
    purgeProtection: keyVaultPurgeProtection
    workspaceId: monitoring.outputs.workspaceId
  }
}

module network 'modules/network.bicep' = if (vnetEnabled) {
  name: 'network'
  params: {
    token: token
    location: location
    tags: tags
    addressPrefix: vnetAddressPrefix
    storageId: storage.outputs.id
    vaultId: vault.outputs.id
  }
}

module app 'modules/app.bicep' = {
  name: 'app'
  params: {
    token: token
    location: location
    tags: tags
    identityId: identity.id
    identityClientId: identity.properties.clientId
    storageName: storage.outputs.name
    deploymentContainer: storage.outputs.deploymentContainer
    subnetId: vnetEnabled ? network!.outputs.appSubnetId : ''
    allowedAddresses: allowedAddresses
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    settings: union(settings, secrets)
    insightsConnectionString: monitoring.outputs.connectionString
  }
  dependsOn: [
    vault // the references need the role
  ]
}

module alerts 'modules/alerts.bicep' = {
  name: 'alerts'
  params: {
    token: token
    location: location
    tags: tags
    insightsId: monitoring.outputs.insightsId
    email: alertEmail
    rules: alertRules
    silenceHours: silenceHours
  }
}

module workbook 'modules/workbook.bicep' = {
  name: 'workbook'
  params: {
    location: location
    tags: tags
    insightsId: monitoring.outputs.insightsId
  }
}

@description('The region.')
output AZURE_LOCATION string = location

@description('The Entra tenant.')
output AZURE_TENANT_ID string = tenant().tenantId

@description('The resource group.')
output AZURE_RESOURCE_GROUP string = resourceGroup().name

@description('The function app.')
output AZURE_FUNCTION_NAME string = app.outputs.name

@description('The same, by the name that azd gives it.')
output SERVICE_APP_NAME string = app.outputs.name

@description('Its address.')
output SERVICE_APP_URI string = app.outputs.url

@description('The vault that holds the secrets.')
output AZURE_KEY_VAULT_NAME string = vault.outputs.name

@description('The storage account.')
output AZURE_STORAGE_ACCOUNT_NAME string = storage.outputs.name

@description('Client id of the app\'s managed identity.')
output APP_IDENTITY_CLIENT_ID string = identity.properties.clientId

@description('Its object id, which Exchange Online asks for.')
output APP_IDENTITY_OBJECT_ID string = identity.properties.principalId
