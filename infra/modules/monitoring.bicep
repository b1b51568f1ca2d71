// Log Analytics (or an existing workspace), Application Insights, which takes telemetry by Entra ID only, and the workbook.

param common { token: string, location: string, tags: { *: string } }
param principalId string // Object id of the app's managed identity, which sends telemetry
param existingWorkspaceId string // Resource id of an existing workspace; empty = a new one
param retentionDays int
param dailyCapGb int

// https://learn.microsoft.com/azure/azure-monitor/app/azure-ad-authentication
var metricsPublisher = '3913510d-42f4-4e42-8a64-420c390055eb'

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-02-01' = if (empty(existingWorkspaceId)) {
  name: 'log-${common.token}'
  location: common.location
  tags: common.tags
  properties: {
    sku: { name: 'PerGB2018' }
    retentionInDays: retentionDays
    workspaceCapping: { dailyQuotaGb: dailyCapGb }
  }
}

var usedWorkspaceId = empty(existingWorkspaceId) ? workspace.id : existingWorkspaceId

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: 'appi-${common.token}'
  location: common.location
  tags: common.tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    DisableLocalAuth: true
    WorkspaceResourceId: usedWorkspaceId
  }
}

resource sends 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: insights
  name: guid(insights.id, principalId, metricsPublisher)
  properties: {
    description: 'Monitoring Metrics Publisher'
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', metricsPublisher)
  }
}

// To change it: edit it in the portal, and copy it from there (Advanced editor) into workbook.json, with {insightsId} put
// back in.
resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(insights.id, 'acumatica-to-outlook')
  location: common.location
  tags: common.tags
  kind: 'shared'
  properties: {
    displayName: 'Acumatica to Outlook'
    category: 'workbook'
    sourceId: insights.id
    serializedData: replace(loadTextContent('../workbook.json'), '{insightsId}', insights.id)
  }
}

output workspaceId string = usedWorkspaceId
output insightsId string = insights.id
output appId string = insights.properties.AppId

// Where telemetry goes; it opens nothing without a token.
output connectionString string = insights.properties.ConnectionString
