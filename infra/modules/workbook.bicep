// One page with what the app did: Application Insights → Workbooks → "Acumatica to Outlook".

@description('Region.')
param location string

@description('Tags of every resource.')
param tags object

@description('Resource id of Application Insights.')
param insightsId string

var charts = [
  {
    title: 'Notifications'
    query: loadTextContent('../queries/chart-notifications.kql')
    visualization: 'timechart'
  }
  {
    title: 'Rows: applied, put off, dead'
    query: loadTextContent('../queries/chart-rows.kql')
    visualization: 'timechart'
  }
  {
    title: 'Seconds from the notification to the calendar'
    query: loadTextContent('../queries/chart-time-to-calendar.kql')
    visualization: 'timechart'
  }
  {
    title: 'Throttled by Graph or Acumatica'
    query: loadTextContent('../queries/chart-throttling.kql')
    visualization: 'timechart'
  }
  {
    title: 'Sign-ins to Acumatica, and for each record written'
    query: loadTextContent('../queries/chart-sign-ins.kql')
    visualization: 'table'
  }
  {
    title: 'Why rows were put off or became dead letters'
    query: loadTextContent('../queries/chart-reasons.kql')
    visualization: 'table'
  }
]

var period = {
  type: 9
  content: {
    version: 'KqlParameterItem/1.0'
    parameters: [
      {
        id: guid(insightsId, 'period')
        version: 'KqlParameterItem/1.0'
        name: 'period'
        label: 'Period'
        type: 4
        isRequired: true
        value: {
          durationMs: 86400000
        }
        typeSettings: {
          selectableValues: [
            {
              durationMs: 3600000
            }
            {
              durationMs: 14400000
            }
            {
              durationMs: 86400000
            }
            {
              durationMs: 604800000
            }
            {
              durationMs: 2592000000
            }
          ]
        }
      }
    ]
    style: 'pills'
    queryType: 0
    resourceType: 'microsoft.insights/components'
  }
  name: 'period'
}

var tiles = [for chart in charts: {
  type: 3
  content: {
    version: 'KqlItem/1.0'
    query: chart.query
    size: 0
    title: chart.title
    timeContextFromParameter: 'period'
    queryType: 0
    resourceType: 'microsoft.insights/components'
    visualization: chart.visualization
  }
  name: chart.title
}]

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(insightsId, 'acumatica-to-outlook')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Acumatica to Outlook'
    category: 'workbook'
    sourceId: insightsId
    serializedData: string({
      version: 'Notebook/1.0'
      items: concat([
        period
      ], tiles)
      fallbackResourceIds: [
        insightsId
      ]
    })
  }
}
