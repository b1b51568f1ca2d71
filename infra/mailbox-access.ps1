#Requires -Version 7.2
<#
.SYNOPSIS
    Lets the app write to the calendars of the members of one group, and of nobody else.

.DESCRIPTION
    Exchange Online "RBAC for Applications": the app's managed identity gets the role "Application Calendars.ReadWrite",
    limited to the direct members of a mail-enabled security group. To let the app into a mailbox later, add it to the group.

    Run by a member of the Exchange role group "Organization Management" (an Exchange Administrator may have to be added to
    it). Running it again changes nothing that is right already. It takes 30 minutes to 2 hours until Exchange acts on it.

    NEVER also grant the Graph permission Calendars.ReadWrite (infra/graph-permission) to the same identity: permissions
    add up, and that one is for every mailbox of the tenant.

    https://learn.microsoft.com/exchange/permissions-exo/application-rbac

.PARAMETER ClientId
    Client id (application id) of the app's managed identity: azd env get-value APP_IDENTITY_CLIENT_ID

.PARAMETER ObjectId
    Object id of its service principal: azd env get-value APP_IDENTITY_OBJECT_ID

.PARAMETER GroupName
    The mail-enabled security group. It is made if there is none of this name.

.PARAMETER Mailboxes
    Mailboxes to add to the group.

.PARAMETER Check
    Mailboxes to test: one that the app has to reach, one that it must not. Nothing is changed.

.PARAMETER Remove
    Take the access away again (the group stays).

.EXAMPLE
    ./infra/mailbox-access.ps1 -ClientId $id -ObjectId $oid -GroupName calendar-app -Mailboxes ann@example.com

.EXAMPLE
    ./infra/mailbox-access.ps1 -ClientId $id -ObjectId $oid -GroupName calendar-app -Check ann@example.com, ceo@example.com
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory)] [guid] $ClientId,
    [Parameter(Mandatory)] [guid] $ObjectId,
    [Parameter(Mandatory)] [string] $GroupName,
    [string[]] $Mailboxes = @(),
    [string[]] $Check = @(),
    [switch] $Remove
)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

$role = 'Application Calendars.ReadWrite'
$name = 'acumatica-to-outlook'
$scopeName = "$name $GroupName"
$assignmentName = "$name $GroupName"

if (-not (Get-Module -ListAvailable ExchangeOnlineManagement)) {
    throw 'The module ExchangeOnlineManagement is missing: Install-Module ExchangeOnlineManagement -Scope CurrentUser'
}
if (-not (Get-ConnectionInformation | Where-Object State -eq 'Connected')) {
    Connect-ExchangeOnline -ShowBanner:$false
}

if ($Check) {
    foreach ($mailbox in $Check) {
        Test-ServicePrincipalAuthorization -Identity $ObjectId.ToString() -Resource $mailbox |
            Where-Object RoleName -eq $role |
            Select-Object @{ n = 'Mailbox'; e = { $mailbox } }, RoleName, AllowedResourceScope, InScope
    }
    return
}

if ($Remove) {
    Get-ManagementRoleAssignment -Identity $assignmentName -ErrorAction SilentlyContinue |
        Remove-ManagementRoleAssignment -Confirm:$false
    Get-ManagementScope -Identity $scopeName -ErrorAction SilentlyContinue |
        Remove-ManagementScope -Confirm:$false
    Write-Output 'Removed. It takes up to 2 hours until Exchange acts on it.'
    return
}

# A managed identity is known to Entra ID; Exchange wants to be told of it.
if (-not (Get-ServicePrincipal -Identity $ObjectId.ToString() -ErrorAction SilentlyContinue)) {
    New-ServicePrincipal -AppId $ClientId -ObjectId $ObjectId -DisplayName $name | Out-Null
}

$group = Get-DistributionGroup -Identity $GroupName -ErrorAction SilentlyContinue
if (-not $group) {
    $group = New-DistributionGroup -Name $GroupName -Type Security -MemberJoinRestriction Closed
}
if ($group.RecipientTypeDetails -ne 'MailUniversalSecurityGroup') {
    throw "$GroupName is a $($group.RecipientTypeDetails); a mail-enabled security group is needed."
}
$members = @(Get-DistributionGroupMember -Identity $group.DistinguishedName -ResultSize Unlimited |
        ForEach-Object { $_.PrimarySmtpAddress })
foreach ($mailbox in $Mailboxes) {
    $address = (Get-Mailbox -Identity $mailbox).PrimarySmtpAddress
    if ($members -notcontains $address) {
        Add-DistributionGroupMember -Identity $group.DistinguishedName -Member $address
    }
}

# Members of groups within the group do not count.
$filter = "MemberOfGroup -eq '$($group.DistinguishedName.Replace("'", "''"))'"
$scope = Get-ManagementScope -Identity $scopeName -ErrorAction SilentlyContinue
if (-not $scope) {
    New-ManagementScope -Name $scopeName -RecipientRestrictionFilter $filter | Out-Null
}
elseif ($scope.RecipientFilter -ne $filter) {
    Set-ManagementScope -Identity $scopeName -RecipientRestrictionFilter $filter
}

if (-not (Get-ManagementRoleAssignment -Identity $assignmentName -ErrorAction SilentlyContinue)) {
    # "The command ... isn't available": the tenant needs Enable-OrganizationCustomization once.
    New-ManagementRoleAssignment -Name $assignmentName -App $ObjectId -Role $role -CustomResourceScope $scopeName | Out-Null
}

Write-Output "The app may write to the calendars of the members of $GroupName, in 30 minutes to 2 hours."
Write-Output 'Check it with -Check, with one mailbox that is in the group and one that is not.'
