// Opt-in, and instead of mailbox-access.ps1, never beside it: Calendars.ReadWrite in EVERY mailbox of the tenant.
// Run once by a Privileged Role Administrator; docs/deploy.md, "Mailbox access", says when and how. Needs Bicep 0.36.1.
// https://learn.microsoft.com/graph/templates/bicep/reference/approleassignedto
targetScope = 'resourceGroup'

extension microsoftGraphV1

@description('Object id of the app\'s managed identity: `azd env get-value APP_IDENTITY_OBJECT_ID`.')
@minLength(36)
@maxLength(36)
param identityObjectId string

// https://learn.microsoft.com/graph/permissions-reference#calendarsreadwrite, the application permission
var calendarsReadWrite = 'ef54d2bf-783f-4e0f-bca1-3210c0444d99'

resource graph 'Microsoft.Graph/servicePrincipals@v1.0' existing = {
  appId: '00000003-0000-0000-c000-000000000000'
}

resource permission 'Microsoft.Graph/appRoleAssignedTo@v1.0' = {
  principalId: identityObjectId
  resourceId: graph.id
  appRoleId: calendarsReadWrite
}
