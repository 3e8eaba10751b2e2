// An example with harmless values: nobody can be written to. Copy it, and see docs/deploy.md.
using './main.bicep'

param installation = 'fjordvik-test'
param onlySendTo = 'ola.nordmann@example.no'
param pureserviceUrl = 'https://fjordvik.pureservice.example'
param smtpHost = 'smtp.example.no'
param smtpUser = 'utsendelse@example.no'
param mailFrom = 'ikke-svar@example.no'
param mailFromName = 'Fjordvik kommune'
param mailReplyTo = 'post@example.no'
param ticketReplyTo = 'servicedesk@example.no'
param alertEmail = 'drift@example.no'
param alertWebhook = true
param settings = {
  MAIL_ENVELOPE_FROM: 'retur@example.no'
  UNDO_SECONDS: '600'
}
