// The function app on Flex Consumption. The code comes later, from the workflow, into the container.

@description('Region of the app.')
param location string

@description('Tags on the app and its plan.')
param tags object

@description('Name of the app, unique in the world: it becomes the host name.')
param name string

@description('Name of its plan.')
param planName string

@description('The most instances for each function.')
param maximumInstanceCount int

@description('The app\'s identity, by resource id.')
param identityId string

@description('The app\'s identity, by client id.')
param clientId string

@description('The storage account by name.')
param storageAccount string

@description('URL of the container that the package is deployed to.')
param packageContainer string

@description('The key vault by name.')
param keyVault string

@description('Whether the mail server wants a password.')
param logsIn bool

@description('Whether Graph is reached by an app registration of its own, with a secret.')
param graphSecret bool

@description('Whether Communication Services is reached by a key.')
param acsByKey bool

@description('Whether letters go by Digipost, which wants a key.')
param digipost bool

@description('Whether that key is locked by a passphrase.')
param digipostKeyLocked bool

@description('Whether a webhook is told of alerts.')
param alertWebhook bool

@description('Where telemetry goes.')
param insightsConnection string

@description('Where logs go.')
param workspaceId string

@description('The app\'s own settings: docs/settings.md.')
param settings object

resource plan 'Microsoft.Web/serverfarms@2024-04-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    tier: 'FlexConsumption'
    name: 'FC1'
  }
  properties: {
    reserved: true // Linux
  }
}

resource app 'Microsoft.Web/sites@2024-04-01' = {
  name: name
  location: location
  tags: tags
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
    keyVaultReferenceIdentity: identityId // else the app's own identity is asked, which it has not
    siteConfig: {
      minTlsVersion: '1.2'
      ftpsState: 'Disabled'
    }
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: packageContainer
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      scaleAndConcurrency: {
        maximumInstanceCount: maximumInstanceCount
        instanceMemoryMB: 2048
      }
      runtime: {
        name: 'python'
        version: '3.13'
      }
    }
  }
}

// A value that begins with @Microsoft.KeyVault is looked up in the vault before the app sees it.
// FUNCTIONS_WORKER_RUNTIME and its like are not for this plan: functionAppConfig says it.
resource appSettings 'Microsoft.Web/sites/config@2024-04-01' = {
  parent: app
  name: 'appsettings'
  properties: union(settings, {
    AzureWebJobsStorage__accountName: storageAccount
    AzureWebJobsStorage__credential: 'managedidentity'
    AzureWebJobsStorage__clientId: clientId
    PURESERVICE_KEY: '@Microsoft.KeyVault(VaultName=${keyVault};SecretName=pureservice-key)'
    SMTP_PASSWORD: logsIn ? '@Microsoft.KeyVault(VaultName=${keyVault};SecretName=smtp-password)' : ''
    GRAPH_CLIENT_SECRET: graphSecret ? '@Microsoft.KeyVault(VaultName=${keyVault};SecretName=graph-client-secret)' : ''
    ACS_CONNECTION_STRING: acsByKey ? '@Microsoft.KeyVault(VaultName=${keyVault};SecretName=acs-connection-string)' : ''
    DIGIPOST_KEY: digipost ? '@Microsoft.KeyVault(VaultName=${keyVault};SecretName=digipost-key)' : ''
    DIGIPOST_KEY_PASSPHRASE: digipostKeyLocked ? '@Microsoft.KeyVault(VaultName=${keyVault};SecretName=digipost-key-passphrase)' : ''
    ALERT_WEBHOOK: alertWebhook ? '@Microsoft.KeyVault(VaultName=${keyVault};SecretName=alert-webhook)' : ''
    APPLICATIONINSIGHTS_CONNECTION_STRING: insightsConnection
    APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${clientId};Authorization=AAD'
  })
}

// What the host says before telemetry works: a setting that is wrong, a package that is not there.
resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: app
  name: 'logs'
  properties: {
    workspaceId: workspaceId
    logs: [{ category: 'FunctionAppLogs', enabled: true }]
    metrics: [{ category: 'AllMetrics', enabled: true }]
  }
}

@description('Name of the app.')
output name string = app.name

@description('Its host name.')
output hostName string = app.properties.defaultHostName
