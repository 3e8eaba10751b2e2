// The key vault. A person puts the secrets into it; no template ever sees them.

@description('Region of the vault.')
param location string

@description('Tags on the vault.')
param tags object

@description('Name of the vault: 3–24 letters, digits and hyphens, unique in the world.')
param name string

@description('Who reads the secrets: the app\'s identity.')
param principalId string

@description('Where its logs go.')
param workspaceId string

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: subscription().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true // roles, as everywhere else here, and no list of its own
    enableSoftDelete: true
    softDeleteRetentionInDays: 90
    enablePurgeProtection: true // cannot be turned off again; a deleted vault keeps its name for 90 days
    publicNetworkAccess: 'Enabled' // the app has no network of its own; roles decide who gets in
  }
}

resource access 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: vault
  name: guid(vault.id, principalId, 'secrets')
  properties: {
    // Key Vault Secrets User: reads values, and changes nothing
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '4633458b-17de-408a-b874-0445c86b69e6')
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}

// Who has read or changed a secret.
resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: vault
  name: 'logs'
  properties: {
    workspaceId: workspaceId
    logs: [{ category: 'AuditEvent', enabled: true }]
    metrics: [{ category: 'AllMetrics', enabled: true }]
  }
}

@description('Name of the vault.')
output name string = vault.name
