<#
.SYNOPSIS
Puts everything that a test machine needs into one folder: both packages, nsemail.exe, the scripts.
.PARAMETER From
Where cargo-make or cargo-wdk left the packages: target\debug, target\release, or the same below a triple.
.PARAMETER To
The folder to make; by default nsemail_lab beside the packages.
#>
param(
    [Parameter(Mandatory = $true)] [string] $From,
    [string] $To = (Join-Path $From 'nsemail_lab')
)
$ErrorActionPreference = 'Stop'
Import-Module (Join-Path $PSScriptRoot 'Lab.psm1') -Force

$packages = @(Find-Package $From)
$tool = Join-Path $From 'nsemail.exe'
if (-not (Test-Path -LiteralPath $tool)) { throw "There is no $tool. Build it with the same profile: cargo build -p nsemail" }
if (Test-Path -LiteralPath $To) { Remove-Item -LiteralPath $To -Recurse }
$null = New-Item -ItemType Directory -Path $To
foreach ($package in $packages) { Copy-Item -LiteralPath $package.FullName -Destination $To -Recurse }
Copy-Item -LiteralPath $tool -Destination $To
Copy-Item -LiteralPath (Join-Path $PSScriptRoot '..\data\names.csv') -Destination $To
Copy-Item -Path (Join-Path $PSScriptRoot '*') -Include @('*.ps1', '*.psm1', '*.md') -Destination $To
Write-Host "Copy $To to the test machine, and start vm-test.ps1 there from an elevated PowerShell."
