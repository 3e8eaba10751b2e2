// The storage account: the ledger (tables), the queues, the frozen messages and the app's package.

@description('Region of the account.')
param location string

@description('Tags on the account.')
param tags object

@description('Name of the account: 3–24 small letters and digits, unique in the world.')
param name string

@description('How it is copied.')
param redundancy string

@description('Names of the queues.')
param queues array

@description('Names of the tables.')
param tables array

@description('Names of the containers.')
param containers array

@description('Who works on what is in it: the app\'s identity.')
param principalId string

@description('Where its logs go.')
param workspaceId string

resource account 'Microsoft.Storage/storageAccounts@2024-01-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    name: redundancy
  }
  properties: {
    accessTier: 'Hot'
    allowSharedKeyAccess: false // whoever has a key may do everything, and nobody can tell who it was
    defaultToOAuthAuthentication: true // so the portal asks who you are too
    allowBlobPublicAccess: false // messages and recipients are in there
    allowCrossTenantReplication: false
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: 'Enabled' // the app has no network of its own; roles decide who gets in
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2024-01-01' = {
  parent: account
  name: 'default'
  properties: {
    // A message deleted by mistake can be had back; without it its campaign cannot go on.
    deleteRetentionPolicy: {
      enabled: true
      days: 14
    }
    containerDeleteRetentionPolicy: {
      enabled: true
      days: 14
    }
  }
}

resource blobContainers 'Microsoft.Storage/storageAccounts/blobServices/containers@2024-01-01' = [
  for container in containers: {
    parent: blobs
    name: container
    properties: {
      publicAccess: 'None'
    }
  }
]

resource queueService 'Microsoft.Storage/storageAccounts/queueServices@2024-01-01' = {
  parent: account
  name: 'default'
}

resource storageQueues 'Microsoft.Storage/storageAccounts/queueServices/queues@2024-01-01' = [
  for queue in queues: {
    parent: queueService
    name: queue
  }
]

resource tableService 'Microsoft.Storage/storageAccounts/tableServices@2024-01-01' = {
  parent: account
  name: 'default'
}

resource storageTables 'Microsoft.Storage/storageAccounts/tableServices/tables@2024-01-01' = [
  for table in tables: {
    parent: tableService
    name: table
  }
]

// A lost ledger knows nothing of what was sent. The lock keeps the account from being deleted;
// rows can still be deleted by whoever has a role for data, of which there is one here: the app.
resource lock 'Microsoft.Authorization/locks@2020-05-01' = {
  scope: account
  name: 'ledger'
  properties: {
    level: 'CanNotDelete'
    notes: 'The ledger knows who has got what. Without it, campaigns under way stop.'
  }
}

var roles = [
  'b7e6dc6d-f1e8-4753-8033-0f276bb0955b' // Storage Blob Data Owner: what the host asks for its leases
  '974c5e8b-45b9-4653-ba55-5f855dd0fb88' // Storage Queue Data Contributor
  '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3' // Storage Table Data Contributor
]

resource access 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in roles: {
    scope: account
    name: guid(account.id, principalId, role)
    properties: {
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
      principalId: principalId
      principalType: 'ServicePrincipal' // the identity may be too new to be looked up
    }
  }
]

// Who changed or removed something. Reads are left out: the host looks at its queues all the time.
resource blobLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: blobs
  name: 'logs'
  properties: {
    workspaceId: workspaceId
    logs: [
      { category: 'StorageWrite', enabled: true }
      { category: 'StorageDelete', enabled: true }
    ]
    metrics: [{ category: 'Transaction', enabled: true }]
  }
}

resource tableLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: tableService
  name: 'logs'
  properties: {
    workspaceId: workspaceId
    logs: [
      { category: 'StorageWrite', enabled: true }
      { category: 'StorageDelete', enabled: true }
    ]
    metrics: [{ category: 'Transaction', enabled: true }]
  }
}

// Items carry ids only, come and go; their number is enough.
resource queueLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: queueService
  name: 'logs'
  properties: {
    workspaceId: workspaceId
    metrics: [{ category: 'Transaction', enabled: true }]
  }
}

@description('Name of the account.')
output name string = account.name

@description('Where its blobs are, with a slash at the end.')
output blobEndpoint string = account.properties.primaryEndpoints.blob
