#Requires -Version 7.2
<#
.SYNOPSIS
    Lets the app write to the calendars of the members of one group, and of nobody else.
.DESCRIPTION
    Exchange Online "RBAC for Applications": the app's managed identity gets the role "Application Calendars.ReadWrite",
    limited to the direct members of a mail-enabled security group. Everything is looked at before anything is changed; what
    is right already stays; the end is a proof. Exit status 0 means: it is so. -WhatIf shows what would be done.

    Run by a member of the Exchange role group "Organization Management" (an Exchange Administrator may have to be added to
    it). It takes 30 minutes to 2 hours until Exchange acts on it.

    NEVER also grant the Graph permission Calendars.ReadWrite (infra/graph-permission) to the same identity: permissions
    add up, and that one is for every mailbox of the tenant.

    https://learn.microsoft.com/exchange/permissions-exo/application-rbac
.EXAMPLE
    ./infra/mailbox-access.ps1 -ClientId $id -ObjectId $oid -GroupName calendar-app -Mailboxes ann@example.com
    ./infra/mailbox-access.ps1 -ClientId $id -ObjectId $oid -GroupName calendar-app -Check ann@example.com -CheckNot ceo@example.com
#>
[CmdletBinding(SupportsShouldProcess)]
param(
    # Client id (application id) of the app's managed identity: azd env get-value APP_IDENTITY_CLIENT_ID
    [Parameter(Mandatory)] [guid] $ClientId,
    # Object id of its service principal: azd env get-value APP_IDENTITY_OBJECT_ID
    [Parameter(Mandatory)] [guid] $ObjectId,
    # The mail-enabled security group. It is made if there is none of this name.
    [Parameter(Mandatory)] [string] $GroupName,
    # Mailboxes to add to the group.
    [string[]] $Mailboxes = @(),
    # Mailboxes that the app has to reach: fails where it does not. Nothing is changed.
    [string[]] $Check = @(),
    # Mailboxes that the app must not reach: fails where it does. Nothing is changed.
    [string[]] $CheckNot = @(),
    # Take the access away again (the group stays).
    [switch] $Remove
)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
$role = 'Application Calendars.ReadWrite'
$product = 'acumatica-to-outlook'
$name = "$product $ClientId" # of scope and assignment, which are this app's alone; 57 of the 64 characters there may be

# Several Get- cmdlets answer an unknown -Identity with everything there is: only what matches here counts.
function Get-Value($item, [string[]] $properties) {
    $properties | Where-Object { $item.PSObject.Properties[$_] } | ForEach-Object { "$($item.$_)" }
}
function Find-Mailbox([string] $address) {
    Get-Mailbox -Identity $address -ErrorAction SilentlyContinue | Where-Object {
        $address -in @(Get-Value $_ @('PrimarySmtpAddress', 'UserPrincipalName', 'Alias')) -or
        ($_.PSObject.Properties['EmailAddresses'] -and "smtp:$address" -in $_.EmailAddresses)
    }
}
function Test-Access([string] $mailbox) {
    $about = if ($mailbox) { @{ Resource = $mailbox } } else { @{} }
    Test-ServicePrincipalAuthorization -Identity "$ObjectId" @about -ErrorAction SilentlyContinue | Where-Object RoleName -eq $role
}

if ($GroupName.Length -gt 64) { throw "A group's name has 64 characters at most; this has $($GroupName.Length)." }
if (-not (Get-Module -ListAvailable ExchangeOnlineManagement)) {
    throw 'The module ExchangeOnlineManagement is missing: Install-Module ExchangeOnlineManagement -Scope CurrentUser'
}
if (-not (Get-ConnectionInformation | Where-Object State -eq 'Connected')) { Connect-ExchangeOnline -ShowBanner:$false }

if ($Check -or $CheckNot) {
    if (-not (Test-Access '')) { throw "The app ($ClientId) has no role $role here." }
    $wrong = @()
    foreach ($mailbox in $Check + $CheckNot) {
        $reached = [bool](Test-Access $mailbox | Where-Object { "$($_.InScope)" -eq 'True' })
        Write-Output "$mailbox is $(if ($reached) { 'within' } else { 'out of' }) the app's reach."
        if ($reached -ne ($mailbox -in $Check)) { $wrong += $mailbox }
    }
    if ($wrong) { throw "That should be otherwise: $($wrong -join ', ')." }
    return
}

# ---- What is there ----
$principal = @(Get-ServicePrincipal | Where-Object { "$($_.AppId)" -eq "$ClientId" })
$scope = @(Get-ManagementScope | Where-Object Name -eq $name)
$every = @(Get-ManagementRoleAssignment -Role $role -ErrorAction SilentlyContinue | Where-Object Role -eq $role)
$apps = @($every | Where-Object { # the app's, by whichever property Exchange tells it
        Get-Value $_ @('App', 'RoleAssignee', 'RoleAssigneeName') | Where-Object { $_ -in "$ClientId", "$ObjectId" }
    })
$own = @($apps | Where-Object { $_.Name -eq $name -and (Get-Value $_ @('CustomResourceScope')) -eq $name })
$taken = @($every | Where-Object { $_.Name -eq $name -and $_ -notin $own })
$stale = @($every | Where-Object { $_.Name -like "$product *" -and $_ -notin $apps })
$plan = [System.Collections.Generic.List[object]]::new()
function Add-Step([string] $target, [string] $action, [scriptblock] $do) {
    $plan.Add([pscustomobject]@{ Target = $target; Action = $action; Do = $do })
}

if ($Remove) {
    if ($own) {
        Add-Step $name 'Remove the role assignment' { Remove-ManagementRoleAssignment -Identity $name -Confirm:$false }
    }
    if ($scope) { Add-Step $name 'Remove the scope' { Remove-ManagementScope -Identity $name -Confirm:$false } }
}
else {
    $problems = @()
    $group = @(Get-DistributionGroup -Identity $GroupName -ErrorAction SilentlyContinue |
            Where-Object { $GroupName -in (Get-Value $_ @('Name', 'PrimarySmtpAddress', 'Alias', 'DistinguishedName')) })
    if ($group.Count -gt 1) { $problems += "There are $($group.Count) groups called $GroupName." }
    if ($group -and $group[0].RecipientTypeDetails -ne 'MailUniversalSecurityGroup') {
        $problems += "$GroupName is a $($group[0].RecipientTypeDetails); a mail-enabled security group is needed."
    }
    if ($principal -and "$($principal[0].ObjectId)" -ne "$ObjectId") {
        $problems += "Exchange knows the client id $ClientId with object id $($principal[0].ObjectId), not $ObjectId."
    }
    if ($taken) { $problems += "A role assignment '$name' exists that is another app's, or of another scope." }
    $addresses = @(foreach ($mailbox in $Mailboxes) {
            $found = @(Find-Mailbox $mailbox)
            if ($found.Count -eq 1) { "$($found[0].PrimarySmtpAddress)" } else { $problems += "There is no mailbox $mailbox." }
        })
    if ($problems) { throw "Nothing was changed. $($problems -join ' ')" }

    if (-not $principal) {
        Add-Step $ClientId 'Tell Exchange of the identity' {
            New-ServicePrincipal -AppId $ClientId -ObjectId $ObjectId -DisplayName $product | Out-Null
        }
    }
    if (-not $group) {
        Add-Step $GroupName 'Make the mail-enabled security group' {
            $script:group = @(New-DistributionGroup -Name $GroupName -Type Security -MemberJoinRestriction Closed -Confirm:$false)
        }
    }
    $members = @(if ($group) {
            Get-DistributionGroupMember -Identity $group[0].DistinguishedName -ResultSize Unlimited |
                ForEach-Object { "$($_.PrimarySmtpAddress)" }
        })
    foreach ($address in $addresses | Where-Object { $_ -notin $members }) {
        Add-Step $address "Add the mailbox to $GroupName" {
            param($member)
            Add-DistributionGroupMember -Identity $group[0].DistinguishedName -Member $member -Confirm:$false
        }
    }
    # Members of groups within the group do not count.
    $filter = { "MemberOfGroup -eq '$($group[0].DistinguishedName.Replace("'", "''"))'" }
    if (-not $scope) {
        Add-Step $name 'Make the scope' { New-ManagementScope -Name $name -RecipientRestrictionFilter (& $filter) | Out-Null }
    }
    elseif (-not $group -or $scope[0].RecipientFilter -ne (& $filter)) {
        Add-Step $name "Limit the scope to $GroupName" {
            Set-ManagementScope -Identity $name -RecipientRestrictionFilter (& $filter) -Confirm:$false
        }
    }
    if (-not $own) {
        Add-Step $name "Assign $role" { # "isn't available": the tenant needs Enable-OrganizationCustomization once
            New-ManagementRoleAssignment -Name $name -App $ObjectId -Role $role -CustomResourceScope $name | Out-Null
        }
    }
}

# ---- The change, and its proof ----
foreach ($step in $plan) {
    if ($PSCmdlet.ShouldProcess($step.Target, $step.Action)) {
        Write-Output "$($step.Action): $($step.Target)"
        & $step.Do $step.Target
    }
}
foreach ($other in $stale) { Write-Warning "'$($other.Name)' is the role assignment of another app or identity. It stays." }
foreach ($more in $apps | Where-Object Name -ne $name) { Write-Warning "The app also has '$($more.Name)', which adds up." }
if ($WhatIfPreference) { return }
$proof = @(Test-Access '' | Where-Object AllowedResourceScope -eq $name)
if ($Remove) {
    if ($proof) { throw "Exchange still shows $role for the app." }
    Write-Output $(if ($plan.Count) { 'Removed. Exchange acts on it in up to 2 hours.' } else { 'There was nothing to remove.' })
    return
}
if (-not $proof) { throw "Exchange shows no $role for the app, limited to '$name': the app cannot write." }
Write-Output "The app may write to the calendars of $GroupName's direct members, in 30 minutes to 2 hours: see -Check, -CheckNot."
