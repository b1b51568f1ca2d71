// Alerts on what the app says of itself. Each query in queries/ gives one number, `value`; an alert fires above its
// threshold, and is resolved when the state that it tells of is over: the app says each minute how it is (`health`).
// https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-types#log-alerts

@export()
@sealed()
@description('What can be changed of an alert.')
type AlertRule = {
  @minValue(0)
  threshold: int? // the alert fires when the query's value is greater
  window: ('PT30M' | 'PT1H' | 'PT2H' | 'PT6H' | 'P1D' | 'P2D')? // the time that the query looks back
  enabled: bool?
}

@export()
@sealed()
@description('What can be changed, by alert; SILENCE_HOURS is the threshold of the alert on silence.')
type AlertRules = {
  deadLetters: (AlertRule)?
  rejected: (AlertRule)?
  access: (AlertRule)?
  oldest: (AlertRule)?
  sessions: (AlertRule)?
  health: (AlertRule)?
}

param common { token: string, location: string, tags: { *: string } }
param insightsId string // Resource id of Application Insights
param appUrl string // Address of the app, whose runs page the mails name
param email string // E-mail address that alerts go to; empty = none
param rules AlertRules // What differs from the defaults below
param silenceHours int // Alert when no notification came in for so many hours; 0 = off
param silenceWeekdaysOnly bool // Leave Saturdays and Sundays out of these hours

var page = '${appUrl}/api/runs'
var silence = loadTextContent('../queries/silence.kql')

// `periods`: looks in a row, each 15 minutes, that have to find it so: what passes by itself raises nobody.
var alerts = [
  {
    name: 'dead-letters'
    title: 'Rows need a person (dead letters, held removals)'
    remedy: '${page}/letters shows the reason and the remedy of each, and has the button Resubmit; ${page}/sweeps shows what is held.'
    severity: 2
    query: loadTextContent('../queries/dead-letters.kql')
    rule: union({ threshold: 0, window: 'PT1H', enabled: true }, rules.?deadLetters ?? {})
  }
  {
    name: 'rejected'
    title: 'Notifications of Acumatica were not taken in'
    remedy: '${page}?which=rejected shows what was wrong; Acumatica keeps them on form SM502000 for two days, to be sent again.'
    severity: 2
    query: loadTextContent('../queries/rejected.kql')
    rule: union({ threshold: 0, window: 'P1D', enabled: true }, rules.?rejected ?? {})
  }
  {
    name: 'access'
    title: 'Sign-in to Acumatica, or access to mailboxes, fails'
    remedy: '${page}/health says which; docs/deploy.md, "Troubleshooting", what to do.'
    severity: 1
    query: loadTextContent('../queries/access.kql')
    rule: union({ threshold: 0, window: 'PT1H', enabled: true }, rules.?access ?? {})
    periods: 2
  }
  {
    name: 'oldest'
    title: 'Changes wait for too long'
    remedy: '${page}/health says why rows are put off.'
    severity: 2
    query: loadTextContent('../queries/oldest.kql')
    rule: union({ threshold: 240, window: 'PT1H', enabled: true }, rules.?oldest ?? {})
  }
  {
    name: 'sessions'
    title: 'Rows wait for a session of Acumatica'
    remedy: 'Raise ACUMATICA_MAX_SESSIONS if the licence allows it, or spread the changes.'
    severity: 3
    query: loadTextContent('../queries/sessions.kql')
    rule: union({ threshold: 1000, window: 'PT6H', enabled: true }, rules.?sessions ?? {})
  }
  {
    name: 'health'
    title: 'The app does not work'
    remedy: '${appUrl}/api/health names the part that is not ready; no answer: docs/deploy.md, "Troubleshooting".'
    severity: 1
    query: loadTextContent('../queries/health.kql')
    rule: union({ threshold: 0, window: 'PT30M', enabled: true }, rules.?health ?? {})
    periods: 2
  }
  {
    name: 'silence'
    title: 'No notification came in'
    remedy: 'Form SM302000 of Acumatica: is the destination active, and its address and header right?'
    severity: 2
    query: silenceWeekdaysOnly ? replace(silence, 'e.silent_hours', 'e.silent_weekday_hours') : silence
    rule: { threshold: silenceHours, window: 'PT1H', enabled: silenceHours > 0 }
  }
]

resource group 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(email)) {
  name: 'ag-${common.token}'
  location: 'global'
  tags: common.tags
  properties: {
    groupShortName: 'calendar'
    enabled: true
    emailReceivers: [{ name: 'administrator', emailAddress: email, useCommonAlertSchema: true }]
  }
}

resource alert 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
  for item in alerts: {
    name: 'alert-${item.name}-${common.token}'
    location: common.location
    tags: common.tags
    kind: 'LogAlert'
    properties: {
      displayName: item.title
      description: item.remedy
      severity: item.severity
      enabled: item.rule.enabled
      scopes: [insightsId]
      evaluationFrequency: 'PT15M'
      windowSize: item.rule.window
      autoMitigate: true
      skipQueryValidation: true // a new workspace has no table `traces` yet; infra/hooks/postdeploy.py looks at them later
      criteria: {
        allOf: [
          {
            query: item.query
            timeAggregation: 'Maximum'
            metricMeasureColumn: 'value'
            operator: 'GreaterThan'
            threshold: item.rule.threshold
            failingPeriods: { numberOfEvaluationPeriods: item.?periods ?? 1, minFailingPeriodsToAlert: item.?periods ?? 1 }
          }
        ]
      }
      actions: { actionGroups: empty(email) ? [] : [group.id] }
    }
  }
]
