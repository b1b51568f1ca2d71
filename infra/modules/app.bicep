// Flex Consumption plan and function app, with all app settings in one place.
// https://learn.microsoft.com/azure/azure-functions/flex-consumption-plan

@description('End of the names.')
param token string

@description('Region.')
param location string

@description('Tags of every resource.')
param tags object

@description('Resource id of the app\'s managed identity.')
param identityId string

@description('Name of the storage account.')
param storageName string

@description('Address of the container that holds the deployed package.')
param deploymentContainer string

@description('Resource id of the subnet for outgoing traffic; empty = no network.')
param subnetId string

@description('IPv4 addresses or ranges that may call the app; empty = anyone with the key.')
param allowedAddresses array

@description('Memory of an instance in MB.')
param instanceMemoryMB int

@description('Instances at most for each function that scales by itself.')
param maximumInstanceCount int

@description('App settings of the product, without those that this module knows itself.')
param settings object

@description('Client id of the app\'s managed identity.')
param identityClientId string

@description('Connection string of Application Insights.')
param insightsConnectionString string

// The same as in .python-version and in the workflows.
var pythonVersion = '3.13'

resource plan 'Microsoft.Web/serverfarms@2024-11-01' = {
  name: 'plan-${token}'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
  }
}

resource app 'Microsoft.Web/sites@2024-11-01' = {
  name: 'func-${token}'
  location: location
  tags: union(tags, {
    'azd-service-name': 'app'
  })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    publicNetworkAccess: 'Enabled'
    keyVaultReferenceIdentity: identityId // at the site: under siteConfig it has no effect
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    siteConfig: {
      minTlsVersion: '1.2'
      ipSecurityRestrictionsDefaultAction: empty(allowedAddresses) ? 'Allow' : 'Deny'
      ipSecurityRestrictions: [for (address, index) in allowedAddresses: {
        name: 'allowed-${index}'
        action: 'Allow'
        priority: 100 + index
        ipAddress: contains(address, '/') ? address : '${address}/32'
      }]
    }
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: deploymentContainer
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      runtime: {
        name: 'python'
        version: pythonVersion
      }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
      }
    }
  }
}

// The whole set: what is added by hand elsewhere is removed by the next provisioning. There must never be a plain
// AzureWebJobsStorage, which would beat the identity: https://github.com/Azure/azure-functions-host/issues/11796
resource appSettings 'Microsoft.Web/sites/config@2024-11-01' = {
  parent: app
  name: 'appsettings'
  properties: union(settings, {
    AzureWebJobsStorage__accountName: storageName
    AzureWebJobsStorage__credential: 'managedidentity'
    AzureWebJobsStorage__clientId: identityClientId
    APPLICATIONINSIGHTS_CONNECTION_STRING: insightsConnectionString
    APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
    PYTHON_THREADPOOL_THREAD_COUNT: '16'
  })
}

// No passwords for publishing: deployments use Entra ID.
resource noPassword 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-11-01' = [for item in ['ftp', 'scm']: {
  parent: app
  name: any(item)
  properties: {
    allow: false
  }
}]

@description('Name of the function app.')
output name string = app.name

@description('Resource id of the function app.')
output id string = app.id

@description('Address of the function app.')
output url string = 'https://${app.properties.defaultHostName}'
