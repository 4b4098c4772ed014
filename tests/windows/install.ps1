<#
.SYNOPSIS
Installs both driver packages with pnputil and starts the drivers.
.DESCRIPTION
Trusts the test certificate of the packages (machine stores Root and TrustedPublisher), adds both to the
driver store, and starts both services. Run again it upgrades: the drivers are stopped, the new packages
installed, the old ones taken out of the driver store, and the drivers started.
.PARAMETER From
The folder that holds nsemail_provider_package and nsemail_client_package; by default the folder of this
script, which is right in a staged folder.
.PARAMETER NoStart
Leaves the drivers stopped.
#>
param(
    [string] $From = $PSScriptRoot,
    [switch] $NoStart
)
$ErrorActionPreference = 'Stop'
Import-Module (Join-Path $PSScriptRoot 'Lab.psm1') -Force

Assert-Elevated
Assert-Windows
Assert-TestSigning
$restart = Install-Package $From
if (-not $NoStart) {
    # Any order would do: the registrar attaches them whichever comes second.
    foreach ($driver in Get-DriverName) {
        $null = Start-Driver $driver
        Write-Step "$driver runs"
    }
}
if ($restart) { Write-Warning 'Windows has to be restarted before this is complete.' }
