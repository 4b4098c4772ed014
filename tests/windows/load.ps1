<#
.SYNOPSIS
Looks names up, one call after the other, until a file appears; then says how the calls ended.
.DESCRIPTION
One such process is one program among several that use the drivers while a scenario stops them or kills
others. Which answers are right is for the scenario to say, except that a name that is found has to have
its address.
#>
param(
    [Parameter(Mandatory = $true)] [string] $Tool,
    [Parameter(Mandatory = $true)] [string] $Name,
    [Parameter(Mandatory = $true)] [string] $Address,
    [Parameter(Mandatory = $true)] [string] $StopFile
)
$ErrorActionPreference = 'Stop'
Import-Module (Join-Path $PSScriptRoot 'Lab.psm1') -Force

$ended = @{}
$wrong = @()
while (-not (Test-Path -LiteralPath $StopFile)) {
    $result = Invoke-Program -Path $Tool -Arguments @('--json', 'lookup', $Name, '--stepwise')
    $ended["$($result.ExitCode)"] = 1 + $ended["$($result.ExitCode)"]
    if ($result.ExitCode -eq 0) {
        $found = @(($result.Output | ConvertFrom-Json).results[0].records[0].addresses)
        if ($found.Count -ne 1 -or $found[0] -ne $Address) { $wrong += "found $($found -join ' ')" }
    }
}
ConvertTo-Json -InputObject @{ ended = $ended; wrong = @($wrong) } -Compress
