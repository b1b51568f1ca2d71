// `azd up`: a resource group of its own, and everything in it. For a resource group that exists already: group.bicep.
targetScope = 'subscription'

import { AlertRules } from 'modules/alerts.bicep'

@description('Name of the resource group; empty = rg- and the name of the environment.')
@maxLength(90)
param resourceGroupName string = ''

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

resource group 'Microsoft.Resources/resourceGroups@2024-11-01' = {
  name: empty(resourceGroupName) ? 'rg-${environmentName}' : resourceGroupName
  location: location
  tags: union(extraTags, {
    'azd-env-name': environmentName
  })
}

module everything 'group.bicep' = {
  name: 'everything-${uniqueString(environmentName, location)}'
  scope: group
  params: {
    environmentName: environmentName
    location: location
    principalId: principalId
    principalType: principalType
    extraTags: extraTags
    acumaticaUrl: acumaticaUrl
    acumaticaTenant: acumaticaTenant
    acumaticaUsername: acumaticaUsername
    acumaticaClientId: acumaticaClientId
    acumaticaAuth: acumaticaAuth
    acumaticaMaxSessions: acumaticaMaxSessions
    acumaticaLingerSeconds: acumaticaLingerSeconds
    acumaticaLeaseSeconds: acumaticaLeaseSeconds
    acumaticaSessionTimeoutSeconds: acumaticaSessionTimeoutSeconds
    graphTenantId: graphTenantId
    graphClientId: graphClientId
    testMailbox: testMailbox
    syncPaused: syncPaused
    maxNotificationMib: maxNotificationMib
    deleteGraceSeconds: deleteGraceSeconds
    deferMaxHours: deferMaxHours
    retentionDays: retentionDays
    claimSeconds: claimSeconds
    requestTimeoutSeconds: requestTimeoutSeconds
    mappingsDir: mappingsDir
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    storageSku: storageSku
    keyVaultPurgeProtection: keyVaultPurgeProtection
    vnetEnabled: vnetEnabled
    vnetAddressPrefix: vnetAddressPrefix
    adminAddresses: adminAddresses
    allowedAddresses: allowedAddresses
    workspaceId: workspaceId
    logRetentionDays: logRetentionDays
    logDailyCapGb: logDailyCapGb
    storageAudit: storageAudit
    alertEmail: alertEmail
    alertRules: alertRules
    silenceHours: silenceHours
  }
}

@description('The region.')
output AZURE_LOCATION string = location

@description('The Entra tenant.')
output AZURE_TENANT_ID string = tenant().tenantId

@description('The resource group.')
output AZURE_RESOURCE_GROUP string = group.name

@description('The function app.')
output AZURE_FUNCTION_NAME string = everything.outputs.AZURE_FUNCTION_NAME

@description('The same, by the name that azd gives it.')
output SERVICE_APP_NAME string = everything.outputs.SERVICE_APP_NAME

@description('Its address.')
output SERVICE_APP_URI string = everything.outputs.SERVICE_APP_URI

@description('The vault that holds the secrets.')
output AZURE_KEY_VAULT_NAME string = everything.outputs.AZURE_KEY_VAULT_NAME

@description('The storage account.')
output AZURE_STORAGE_ACCOUNT_NAME string = everything.outputs.AZURE_STORAGE_ACCOUNT_NAME

@description('Client id of the app\'s managed identity.')
output APP_IDENTITY_CLIENT_ID string = everything.outputs.APP_IDENTITY_CLIENT_ID

@description('Its object id, which Exchange Online asks for.')
output APP_IDENTITY_OBJECT_ID string = everything.outputs.APP_IDENTITY_OBJECT_ID
