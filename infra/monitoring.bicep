// Where logs go, and the alarm that reaches people when no ticket can be written on.

@description('Region of everything in it.')
param location string

@description('Tags on everything in it.')
param tags object

@description('Goes into the names.')
param name string

@description('How long logs are kept, in days.')
param logDays int

@description('Who gets a mail when the app cannot do its work. Empty: nobody.')
param alertEmail string

@description('Who writes logs: the app\'s identity.')
param principalId string

resource workspace 'Microsoft.OperationalInsights/workspaces@2023-09-01' = {
  name: 'log-${name}'
  location: location
  tags: tags
  properties: {
    sku: {
      name: 'PerGB2018'
    }
    retentionInDays: logDays
    features: {
      disableLocalAuth: true // no writing by key
    }
  }
}

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: 'appi-${name}'
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: workspace.id
    IngestionMode: 'LogAnalytics'
    DisableLocalAuth: true // the connection string alone lets nobody write; the role below does
  }
}

resource access 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: insights
  name: guid(insights.id, principalId, 'publish')
  properties: {
    // Monitoring Metrics Publisher: writes telemetry, and reads nothing
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '3913510d-42f4-4e42-8a64-420c390055eb')
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(alertEmail)) {
  name: 'ag-${name}'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'utsendelse'
    enabled: true
    emailReceivers: [
      {
        name: 'operator'
        emailAddress: alertEmail
        useCommonAlertSchema: true
      }
    ]
  }
}

// An expired key, a renamed status, storage that does not answer: each fails a timer every minute,
// and none of them can be told on a ticket. Once or twice is weather.
resource alarm 'Microsoft.Insights/scheduledQueryRules@2022-06-15' = if (!empty(alertEmail)) {
  name: 'timers-fail-${name}'
  location: location
  tags: tags
  properties: {
    displayName: 'Utsendelse cannot do its work'
    description: 'One of the timers discover_campaigns, account, letters and receipts has failed for a quarter of an hour. Read the log; docs/operations.md says what to do.'
    severity: 2
    enabled: true
    scopes: [workspace.id]
    evaluationFrequency: 'PT15M'
    windowSize: 'PT15M'
    skipQueryValidation: true // the table is there when the app has run for the first time
    criteria: {
      allOf: [
        {
          query: 'AppRequests | where Success == false and Name in ("discover_campaigns", "account", "letters", "receipts")'
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 5
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    autoMitigate: true
    actions: {
      actionGroups: [people.id]
    }
  }
}

@description('The workspace, for the logs of others.')
output workspaceId string = workspace.id

@description('Where telemetry goes. Not a secret, since local auth is off.')
output insightsConnection string = insights.properties.ConnectionString
