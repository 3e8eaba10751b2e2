// Everything that Utsendelse needs in Azure, in one resource group. How to deploy it: docs/deploy.md.
// There is no key or password in here, nor does it make any: the app gets in by its identity.

@description('Region of everything. It must have the Flex Consumption plan.')
param location string = resourceGroup().location

@description('Goes into the names of what can be renamed; the others are made unique.')
@minLength(2)
@maxLength(20)
param name string = 'utsendelse'

@description('Tags on everything, as your organisation wants them.')
param tags object = {}

@description('INSTALLATION: a name that no other installation on the same Pureservice has.')
param installation string

@description('ONLY_SEND_TO: addresses and domains, separated by commas. * is everybody; begin with yourself.')
param onlySendTo string

@description('PURESERVICE_URL: the address you use in the browser, up to the host name.')
param pureserviceUrl string

@description('EMAIL_TRANSPORTS: what e-mail is sent by, in the order to try: smtp, graph, acs. See docs/transports.md.')
param emailTransports string = 'smtp'

@description('SMTP_HOST: the mail server. Needed where emailTransports has smtp.')
param smtpHost string = ''

@description('SMTP_USER: whom to log in as. With one, the secret smtp-password is read from the key vault.')
param smtpUser string = ''

@description('GRAPH_TENANT_ID: where the mailboxes are in another tenant than this. Empty: by the app\'s identity.')
param graphTenantId string = ''

@description('GRAPH_CLIENT_ID: the app registration there. With one, the secret graph-client-secret is read from the key vault.')
param graphClientId string = ''

@description('ACS_ENDPOINT: the Communication Services resource, which the app\'s identity must have a role at.')
param acsEndpoint string = ''

@description('Whether ACS is reached by a key. With true, the secret acs-connection-string is read from the key vault; acsEndpoint stays empty.')
param acsByKey bool = false

@description('BOUNCE_MAILBOX: the mailbox that bounces come to, read through Graph. Empty: none is read.')
param bounceMailbox string = ''

@description('MAIL_FROM: the sender\'s address.')
param mailFrom string

@description('MAIL_FROM_NAME: the sender\'s name.')
param mailFromName string = ''

@description('MAIL_REPLY_TO: where answers to e-mail go. Empty: to the sender.')
param mailReplyTo string = ''

@description('TICKET_REPLY_TO: the mailbox that Pureservice reads. Empty: see docs/settings.md.')
param ticketReplyTo string = ''

@description('DIGIPOST_CAMPAIGN_USER: the made-up user whose tickets are letters by Digipost. With one, the secret digipost-key is read from the key vault. Empty: no letters.')
param digipostCampaignUser string = ''

@description('DIGIPOST_SENDER_ID: the account in Digipost. Needed where digipostCampaignUser is given, as are the two below.')
param digipostSenderId string = '0'

@description('DIGIPOST_USER: whom to log in as, such as prod_100123.')
param digipostUser string = ''

@description('DIGIPOST_HOST_KEY: the fingerprint of Digipost\'s server, which they have told you by another way.')
param digipostHostKey string = ''

@description('Whether the key is locked. With true, the secret digipost-key-passphrase is read from the key vault.')
param digipostKeyLocked bool = false

@description('Any other setting of docs/settings.md by its name, as text, where it differs from the default.')
param settings object = {}

@description('ALERT_EMAIL: who gets a mail when something has stopped, or the app cannot do its work. Empty: nobody.')
param alertEmail string = ''

@description('Whether a webhook is told as well. With true, the secret alert-webhook is read from the key vault.')
param alertWebhook bool = false

@description('The most instances that Azure may start for each function. The pace is kept by the ledger, not by this.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int = 40 // some regions take no less

@description('How the ledger is copied. ZRS survives a data centre; GZRS a region.')
@allowed(['Standard_LRS', 'Standard_ZRS', 'Standard_GZRS'])
param storageRedundancy string = 'Standard_ZRS'

@description('How long logs are kept, in days. There are no addresses in them.')
@minValue(30)
@maxValue(730)
param logDays int = 90

var suffix = uniqueString(resourceGroup().id, name)
var deliverEmailQueue = 'deliver-email'
var deliverTicketQueue = 'deliver-ticket'

// The defaults of the code; a test holds them equal. `settings` wins over them.
var defaults = {
  // The host reads the schedules by itself, in UTC: the plan knows no other time zone.
  DISCOVER_SCHEDULE: '0 * * * * *'
  ACCOUNT_SCHEDULE: '0 * * * * *'
  LISTS_SCHEDULE: '0 30 3 * * *'
  FORGET_SCHEDULE: '0 0 4 * * *'
  BOUNCES_SCHEDULE: '0 */5 * * * *'
  LETTERS_SCHEDULE: '20 * * * * *'
  RECEIPTS_SCHEDULE: '40 * * * * *'
  REGISTER_SCHEDULE: '0 0 5 * * 0'

  PURESERVICE_PREFIX: '/agent/api'
  PURESERVICE_AUTH: 'key'
  PURESERVICE_TIMEOUT_SECONDS: '30'
  PURESERVICE_API_USER_ID: '0'
  PURESERVICE_RATE: '60'

  EMAIL_CAMPAIGN_USER: 'masseutsendelse-ikke-svar@utsendelse.local'
  TICKET_CAMPAIGN_USER: 'masseutsendelse-med-svar@utsendelse.local'
  MESSAGE_TRIGGER: 'communication'
  MESSAGE_TYPE_NAME: 'Til utsending'
  MESSAGE_TYPE_FIELD: 'customtype.name'
  STATUS_READY: 'Utsending – klar'
  STATUS_RUNNING: 'Utsending – pågår'
  STATUS_ATTENTION: 'Utsending – må sjekkes'
  STATUS_SOLVED: 'Løst'
  STATUS_PAUSE: 'Utsending – pause'
  STATUS_CANCEL: 'Utsending – avbryt'
  STATUS_REVIEW: 'Utsending – til kontroll'
  QUIET_PERIOD_MINUTES: '10'
  UNDO_SECONDS: '180'
  START_WITHIN_DAYS: '60'
  CAMPAIGN_MARK_FIELD: 'customerReference'
  TICKET_TAG: '[Sak ID# {{RequestNumber}}]'

  LIST_ASSET_TYPE: 'Mottakerliste'
  LIST_TICKET_RELATION: 'Gir mottakere til'
  LIST_USER_RELATION: 'Inneholder bruker'
  LIST_COMPANY_RELATION: 'Inneholder firma'

  LISTS: 'off'
  COMPANY_CATEGORY_FIELD: ''
  LIST_RULES: '{"KOMM": "Kommune", "FYLK": "Fylkeskommune", "STAT": "Statlig virksomhet"}'
  LISTS_REMOVE_AT_MOST: '20'

  SMTP_PORT: '587'
  SMTP_TLS: 'starttls'
  SMTP_TIMEOUT_SECONDS: '60'
  SMTP_MESSAGES_PER_CONNECTION: '100'
  GRAPH_URL: 'https://graph.microsoft.com/v1.0'
  GRAPH_TIMEOUT_SECONDS: '30'
  ACS_TIMEOUT_SECONDS: '30'
  ACS_CHECK_SECONDS: '60'
  ACS_WAIT_MINUTES: '60'
  MAIL_LANGUAGE: 'nb'
  MAIL_ENVELOPE_FROM: ''
  SENDERS: '{}'
  LETTERHEADS: '{}'
  RECIPIENT_FIELDS: '{}'
  MAIL_MAX_MEGABYTES: '20'
  TEST_RECIPIENTS: ''
  EMAIL_RATE: '30'
  EMAIL_DAILY_QUOTA: '10000'
  EMAIL_WINDOW: ''
  EMAIL_WHEN_UNCERTAIN: 'hold'
  SUPPRESS_BOUNCED_DAYS: '90'

  TICKET_STATUS: 'Venter - sluttbruker'
  TICKET_VISIBILITY: 'silent'
  TICKET_KEEP_AGENT: 'false'
  TICKET_RELATION: ''
  TICKET_FILES: 'copy'
  TICKET_MESSAGE_VIA: 'pureservice'
  TICKET_CHECK_SECONDS: '120'
  TICKET_WAIT_MINUTES: '60'
  TICKET_DAILY_QUOTA: '0'
  TICKET_WINDOW: ''

  LEASE_SECONDS: '300'
  GRACE_SECONDS: '60'
  RELEASE_AGAIN_SECONDS: '600'
  MAX_ATTEMPTS: '8'

  DIGIPOST_BROKER_ID: '0'
  DIGIPOST_HOST: 'sftp.digipost.no'
  DIGIPOST_PORT: '22'
  DIGIPOST_TIMEOUT_SECONDS: '120'
  DIGIPOST_LEASE_SECONDS: '600'
  DIGIPOST_UPLOAD: 'direct'
  DIGIPOST_REUPLOAD: 'ask'
  DIGIPOST_KEEP_RECEIPTS: 'false'
  DIGIPOST_APPROVE: 'portal'
  DIGIPOST_SPLIT: 'true'
  DIGIPOST_REGISTER: 'off'
  DIGIPOST_REGISTER_MAX_AGE_DAYS: '8'
  DIGIPOST_NOT_REACHED: 'list'
  DIGIPOST_LETTERS_PER_JOB: '10000'
  DIGIPOST_MAX_MEGABYTES: '10'
  DIGIPOST_FILE_TYPES: 'pdf'
  DIGIPOST_MAIN_DOCUMENT: 'brev'
  DIGIPOST_AUTHENTICATION: 'password'
  DIGIPOST_SENSITIVITY: 'normal'
  DIGIPOST_SMS_AFTER_HOURS: ''
  DIGIPOST_RETURN_ADDRESS: ''
  DIGIPOST_PRINT_PAGES: '20'
  DIGIPOST_NATIONAL_ID_FIELD: ''
  DIGIPOST_BIRTH_DATE_FIELD: ''
  DIGIPOST_ADDRESS_FIELDS: '{}'
  DIGIPOST_ANSWER_MINUTES: '30'
  DIGIPOST_RESULT_HOURS: '24'
  DIGIPOST_WINDOW: ''

  PAUSE_AFTER_FAILURES: '20'
  PAUSE_AT_FAILED_PERCENT: '25'
  BLOCK_AFTER_HOURS: '24'

  RETENTION_DAYS: '90'
}

// What has a parameter of its own, or belongs to what is made here: `settings` cannot change it.
var given = {
  INSTALLATION: installation
  ONLY_SEND_TO: onlySendTo
  DELIVER_EMAIL_QUEUE: deliverEmailQueue
  DELIVER_TICKET_QUEUE: deliverTicketQueue
  PURESERVICE_URL: pureserviceUrl
  EMAIL_TRANSPORTS: emailTransports
  SMTP_HOST: smtpHost
  SMTP_USER: smtpUser
  GRAPH_TENANT_ID: graphTenantId
  GRAPH_CLIENT_ID: graphClientId
  ACS_ENDPOINT: acsEndpoint
  BOUNCE_MAILBOX: bounceMailbox
  MAIL_FROM: mailFrom
  MAIL_FROM_NAME: mailFromName
  MAIL_REPLY_TO: mailReplyTo
  TICKET_REPLY_TO: ticketReplyTo
  DIGIPOST_CAMPAIGN_USER: digipostCampaignUser
  DIGIPOST_SENDER_ID: digipostSenderId
  DIGIPOST_USER: digipostUser
  DIGIPOST_HOST_KEY: digipostHostKey
  ALERT_EMAIL: alertEmail
}

// One identity, known before the app is: its roles and the vault are ready when the app starts.
resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: 'id-${name}'
  location: location
  tags: tags
}

module monitoring 'monitoring.bicep' = {
  name: 'monitoring'
  params: {
    location: location
    tags: tags
    name: name
    logDays: logDays
    alertEmail: alertEmail
    principalId: identity.properties.principalId
  }
}

module storage 'storage.bicep' = {
  name: 'storage'
  params: {
    location: location
    tags: tags
    name: 'st${suffix}'
    redundancy: storageRedundancy
    queues: [
      deliverEmailQueue
      '${deliverEmailQueue}-poison'
      deliverTicketQueue
      '${deliverTicketQueue}-poison'
    ]
    tables: ['campaigns', 'deliveries', 'channels', 'users', 'references', 'suppressions', 'audit', 'register']
    containers: ['campaigns', 'packages']
    principalId: identity.properties.principalId
    workspaceId: monitoring.outputs.workspaceId
  }
}

module vault 'vault.bicep' = {
  name: 'vault'
  params: {
    location: location
    tags: tags
    name: 'kv-${suffix}'
    principalId: identity.properties.principalId
    workspaceId: monitoring.outputs.workspaceId
  }
}

module app 'app.bicep' = {
  name: 'app'
  params: {
    location: location
    tags: tags
    name: 'func-${name}-${suffix}'
    planName: 'plan-${name}'
    maximumInstanceCount: maximumInstanceCount
    identityId: identity.id
    clientId: identity.properties.clientId
    storageAccount: storage.outputs.name
    packageContainer: '${storage.outputs.blobEndpoint}packages'
    keyVault: vault.outputs.name
    logsIn: !empty(smtpUser)
    graphSecret: !empty(graphClientId)
    acsByKey: acsByKey
    digipost: !empty(digipostCampaignUser)
    digipostKeyLocked: digipostKeyLocked
    alertWebhook: alertWebhook
    insightsConnection: monitoring.outputs.insightsConnection
    workspaceId: monitoring.outputs.workspaceId
    settings: union(defaults, settings, given)
  }
}

@description('The function app: what the workflow deploys to.')
output functionApp string = app.outputs.name

@description('Tells which of storage, Pureservice and what mail is sent by answer.')
output health string = 'https://${app.outputs.hostName}/api/health'

@description('The app\'s identity by client id: what Exchange calls AppId.')
output identityClientId string = identity.properties.clientId

@description('The app\'s identity by object id: what roles are given to.')
output identityObjectId string = identity.properties.principalId

@description('Where the secrets go.')
output keyVault string = vault.outputs.name

@description('Where the ledger is.')
output storageAccount string = storage.outputs.name
