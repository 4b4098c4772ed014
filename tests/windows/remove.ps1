<#
.SYNOPSIS
Stops both drivers, removes their packages, and the certificates that install.ps1 added.
.DESCRIPTION
The names that were registered stay in the provider driver's data folder, for the next installation. A
second run finds nothing to do and says so by doing nothing.
#>
$ErrorActionPreference = 'Stop'
Import-Module (Join-Path $PSScriptRoot 'Lab.psm1') -Force

Assert-Elevated
if (Remove-Package) { Write-Warning 'Windows has to be restarted before this is complete.' }
