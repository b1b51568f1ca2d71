// Alerts on what the app says of itself. Each query in queries/ gives one number, `value`; an alert fires above its
// threshold. https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-types#log-alerts

@export()
@description('What can be changed of an alert.')
type AlertRule = {
  @description('The alert fires when the query\'s value is greater.')
  @minValue(0)
  threshold: int?

  @description('The time that the query looks back.')
  window: ('PT5M' | 'PT10M' | 'PT15M' | 'PT30M' | 'PT45M' | 'PT1H' | 'PT2H' | 'PT3H' | 'PT4H' | 'PT5H' | 'PT6H' | 'P1D' | 'P2D')?

  @description('Whether it exists in effect.')
  enabled: bool?
}

@export()
@description('By name: deadLetters, rejected, access, oldest, sessions, health.')
type AlertRules = {
  *: AlertRule
}

@description('End of the names.')
param token string

@description('Region.')
param location string

@description('Tags of every resource.')
param tags object

@description('Resource id of Application Insights.')
param insightsId string

@description('E-mail address that alerts go to; empty = none.')
param email string

@description('What differs from the defaults below.')
param rules AlertRules

@description('Alert when no notification came in for so many hours; 0 = off.')
@allowed([0, 1, 2, 3, 4, 5, 6, 24, 48])
param silenceHours int

var defaults = {
  deadLetters: {
    threshold: 0 // letters
    window: 'PT15M'
    enabled: true
  }
  rejected: {
    threshold: 0 // notifications
    window: 'PT15M'
    enabled: true
  }
  access: {
    threshold: 2 // failures: one may pass
    window: 'PT30M'
    enabled: true
  }
  oldest: {
    threshold: 240 // minutes
    window: 'PT1H'
    enabled: true
  }
  sessions: {
    threshold: 500 // times that a row went away without a session
    window: 'PT1H'
    enabled: true
  }
  health: {
    threshold: 0 // 1 = not one good minute
    window: 'PT15M'
    enabled: true
  }
}
var chosen = union(defaults, rules)

var alerts = [
  {
    name: 'dead-letters'
    title: 'Rows need a person (dead letters)'
    remedy: 'Table DeadLetters of the app\'s storage has the reason and the remedy of each.'
    severity: 2
    query: loadTextContent('../queries/dead-letters.kql')
    rule: chosen.deadLetters
  }
  {
    name: 'rejected'
    title: 'Notifications of Acumatica were not taken in'
    remedy: 'Table PushNotifications, partition rejected, has the problems; Acumatica lists them on form SM502000.'
    severity: 2
    query: loadTextContent('../queries/rejected.kql')
    rule: chosen.rejected
  }
  {
    name: 'access'
    title: 'Sign-in to Acumatica, or access to mailboxes, fails'
    remedy: 'docs/deploy.md, "Troubleshooting": signs of expired secrets and of missing mailbox access.'
    severity: 1
    query: loadTextContent('../queries/access.kql')
    rule: chosen.access
  }
  {
    name: 'oldest'
    title: 'Changes wait for too long'
    remedy: 'The log says why they are put off: search traces for "deferred".'
    severity: 2
    query: loadTextContent('../queries/oldest.kql')
    rule: chosen.oldest
  }
  {
    name: 'sessions'
    title: 'Rows wait for a session of Acumatica'
    remedy: 'Raise ACUMATICA_MAX_SESSIONS if the licence allows it, or spread the changes.'
    severity: 3
    query: loadTextContent('../queries/sessions.kql')
    rule: chosen.sessions
  }
  {
    name: 'health'
    title: 'The app does not work'
    remedy: 'GET /api/health names the part that is not ready; the log says why.'
    severity: 1
    query: loadTextContent('../queries/health.kql')
    rule: chosen.health
  }
  {
    name: 'silence'
    title: 'No notification came in'
    remedy: 'Form SM302000 of Acumatica: is the destination active, and its address and header right?'
    severity: 2
    query: loadTextContent('../queries/silence.kql')
    rule: {
      threshold: 0
      window: silenceHours == 24 ? 'P1D' : silenceHours == 48 ? 'P2D' : 'PT${max(silenceHours, 1)}H'
      enabled: silenceHours > 0
    }
  }
]

resource group 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(email)) {
  name: 'ag-${token}'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'calendar'
    enabled: true
    emailReceivers: [
      {
        name: 'administrator'
        emailAddress: email
        useCommonAlertSchema: true
      }
    ]
  }
}

resource alert 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [for item in alerts: {
  name: 'alert-${item.name}-${token}'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: item.title
    description: item.remedy
    severity: item.severity
    enabled: item.rule.enabled
    scopes: [
      insightsId
    ]
    evaluationFrequency: item.rule.window == 'PT5M' || item.rule.window == 'PT10M' ? 'PT5M' : 'PT15M'
    windowSize: item.rule.window
    autoMitigate: true
    criteria: {
      allOf: [
        {
          query: item.query
          timeAggregation: 'Maximum'
          metricMeasureColumn: 'value'
          operator: 'GreaterThan'
          threshold: item.rule.threshold
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: empty(email) ? [] : [
        group.id
      ]
    }
  }
}]
