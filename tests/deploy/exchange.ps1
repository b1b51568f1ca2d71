# Exchange Online as far as infra/mailbox-access.ps1 asks it: state in memory, every change written down.
# Run by test_mailbox_access.py. `everything`: an unknown -Identity is answered with all there is, as the reference has warned
# of several Get- cmdlets since 2025-12.
param([string] $StateFile, [string] $Script, [string] $ArgumentsFile)
$ErrorActionPreference = 'Stop'
$global:state = Get-Content $StateFile -Raw | ConvertFrom-Json -AsHashtable
$global:changes = [System.Collections.Generic.List[string]]::new()

function Select-Known([string] $kind, $identity, [string[]] $by) {
    $all = @($global:state[$kind] | Where-Object { $_ } | ForEach-Object { [pscustomobject] $_ })
    if (-not $identity) { return $all }
    $found = @($all | Where-Object { $item = $_; $by | Where-Object { "$($item.$_)" -eq "$identity" } })
    if ($found -or -not $global:state.everything) { return $found }
    return $all
}
function Write-Change([string] $what) { $global:changes.Add($what) }
function Get-Module { [pscustomobject]@{ Name = 'ExchangeOnlineManagement' } }
function Get-ConnectionInformation { [pscustomobject]@{ State = 'Connected' } }
function Get-ServicePrincipal { [CmdletBinding()] param($Identity) Select-Known principals $Identity AppId, ObjectId }
function Get-ManagementScope { [CmdletBinding()] param($Identity) Select-Known scopes $Identity Name }
function Get-ManagementRoleAssignment {
    [CmdletBinding()] param($Identity, $Role)
    Select-Known assignments $Identity Name | Where-Object { -not $Role -or $_.Role -eq $Role }
}
function Get-DistributionGroup { [CmdletBinding()] param($Identity) Select-Known groups $Identity Name, DistinguishedName }
function Get-DistributionGroupMember {
    [CmdletBinding()] param($Identity, $ResultSize)
    $group = $global:state.groups | Where-Object { $_.DistinguishedName -eq $Identity }
    $group.Members | Where-Object { $_ } | ForEach-Object { [pscustomobject]@{ PrimarySmtpAddress = $_ } }
}
function Get-Mailbox { [CmdletBinding()] param($Identity) Select-Known mailboxes $Identity PrimarySmtpAddress, Alias }
function New-ServicePrincipal {
    [CmdletBinding()] param($AppId, $ObjectId, $DisplayName)
    Write-Change "New-ServicePrincipal $AppId"
    $global:state.principals += @{ AppId = "$AppId"; ObjectId = "$ObjectId"; DisplayName = $DisplayName }
}
function New-DistributionGroup {
    [CmdletBinding()] param($Name, $Type, $MemberJoinRestriction, [switch] $Confirm)
    Write-Change "New-DistributionGroup $Name"
    $made = @{ Name = $Name; DistinguishedName = "CN=$Name"; RecipientTypeDetails = 'MailUniversalSecurityGroup'; Members = @() }
    $global:state.groups += $made
    [pscustomobject] $made
}
function Add-DistributionGroupMember {
    [CmdletBinding()] param($Identity, $Member, [switch] $Confirm)
    Write-Change "Add-DistributionGroupMember $Identity $Member"
    foreach ($group in $global:state.groups | Where-Object { $_.DistinguishedName -eq $Identity }) { $group.Members += $Member }
}
function New-ManagementScope {
    [CmdletBinding()] param($Name, $RecipientRestrictionFilter)
    Write-Change "New-ManagementScope $Name"
    $global:state.scopes += @{ Name = $Name; RecipientFilter = $RecipientRestrictionFilter }
}
function Set-ManagementScope {
    [CmdletBinding()] param($Identity, $RecipientRestrictionFilter, [switch] $Confirm)
    Write-Change "Set-ManagementScope $Identity"
    foreach ($scope in $global:state.scopes | Where-Object { $_.Name -eq $Identity }) { $scope.RecipientFilter = $RecipientRestrictionFilter }
}
function New-ManagementRoleAssignment {
    [CmdletBinding()] param($Name, $App, $Role, $CustomResourceScope)
    if ($Name.Length -gt 64) { throw 'The name is longer than 64 characters.' }
    Write-Change "New-ManagementRoleAssignment $Name"
    if (-not $global:state.deaf) {
        $global:state.assignments += @{ Name = $Name; App = "$App"; Role = $Role; CustomResourceScope = $CustomResourceScope }
    }
}
function Remove-ManagementRoleAssignment {
    [CmdletBinding()] param([Parameter(ValueFromPipelineByPropertyName)][Alias('Name')] $Identity, [switch] $Confirm)
    process {
        Write-Change "Remove-ManagementRoleAssignment $Identity"
        $global:state.assignments = @($global:state.assignments | Where-Object { $_.Name -ne $Identity })
    }
}
function Remove-ManagementScope {
    [CmdletBinding()] param([Parameter(ValueFromPipelineByPropertyName)][Alias('Name')] $Identity, [switch] $Confirm)
    process {
        Write-Change "Remove-ManagementScope $Identity"
        $global:state.scopes = @($global:state.scopes | Where-Object { $_.Name -ne $Identity })
    }
}
function Test-ServicePrincipalAuthorization {
    [CmdletBinding()] param($Identity, $Resource)
    foreach ($item in $global:state.assignments | Where-Object { $_ -and $_.App -eq "$Identity" }) {
        $scope = $global:state.scopes | Where-Object { $_.Name -eq $item.CustomResourceScope }
        $group = $global:state.groups | Where-Object { $scope -and $scope.RecipientFilter -like "*'$($_.DistinguishedName)'*" }
        $within = if ($Resource) { [bool]($group -and $Resource -in $group.Members) } else { 'Not Run' }
        [pscustomobject]@{ RoleName = $item.Role; AllowedResourceScope = $item.CustomResourceScope; InScope = $within }
    }
}

$arguments = Get-Content $ArgumentsFile -Raw | ConvertFrom-Json -AsHashtable
$failure = $null
$said = try { & $Script @arguments *>&1 | ForEach-Object { "$_" } } catch { $failure = "$_" }
@{ said = @($said); failure = $failure; changes = @($global:changes); state = $global:state } | ConvertTo-Json -Depth 8 -Compress
