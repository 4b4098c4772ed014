# What the scripts of this folder share: running programs, what the machine has to be like, the two
# driver packages, their services and certificates.
#
# Written for Windows PowerShell 5.1, which every Windows has. Programs are run by their exit codes and
# the registry is read where a program's words depend on the language of Windows.

Set-StrictMode -Version 2.0

# Both drivers: name of the service, of the package, and of the image without its extension.
$script:Drivers = @('nsemail_provider', 'nsemail_client')
$script:StateFolder = Join-Path $env:ProgramData 'NsEmail'

# Win32 codes that these scripts meet, and what they mean here. README.md says what to do about them.
$script:Meanings = @{
    0    = 'done'
    2    = 'there is no such file or device'
    5    = 'access denied'
    87   = 'this Windows has no KMDF 1.31; Windows 10 2004 is the oldest that has'
    127  = 'the image imports a function that this Windows does not have'
    259  = 'there was nothing to do'
    577  = 'the signature of the image is not accepted: test signing is off, or the file was changed'
    998  = 'the sections of the image are not as the loader wants them'
    1051 = 'another service that runs depends on this one'
    1052 = 'the driver cannot be stopped'
    1053 = 'the driver did not answer in time'
    1056 = 'the service runs already'
    1058 = 'the service is disabled'
    1060 = 'there is no such service: the package is not installed'
    1061 = 'the service is on its way to another state'
    1062 = 'the service does not run'
    1072 = 'the service is marked for deletion: close what has it open'
    1275 = 'the driver is blocked by a policy of this Windows'
    1450 = 'there was not enough memory'
    3010 = 'done, and takes effect when Windows has been restarted'
}

function Get-DriverName { $script:Drivers }
function Get-StateFolder { $script:StateFolder }

# A Win32 code with what it means here.
function Format-Code([int] $Code) {
    if ($script:Meanings.ContainsKey($Code)) { return "$Code ($($script:Meanings[$Code]))" }
    return "$Code ($((New-Object ComponentModel.Win32Exception $Code).Message))"
}

function Write-Step([string] $Text) { Write-Host "== $Text" }

# Quotes an argument as the C runtime takes it apart again.
function ConvertTo-Argument([string] $Text) {
    if ($Text -ne '' -and $Text -notmatch '[\s"]') { return $Text }
    # A backslash counts as itself, except before a quotation mark.
    $doubled = [regex]::Replace($Text, '(\\*)("|$)', {
            param($match)
            $quote = if ($match.Groups[2].Value) { '\"' } else { '' }
            ($match.Groups[1].Value * 2) + $quote
        })
    return '"' + $doubled + '"'
}

# Starts a program without a window and reads what it says, which would otherwise fill its pipe.
function Start-Program {
    param(
        [Parameter(Mandatory = $true)] [string] $Path,
        [string[]] $Arguments = @()
    )
    $start = New-Object System.Diagnostics.ProcessStartInfo
    $start.FileName = $Path
    $start.Arguments = (@($Arguments) | ForEach-Object { ConvertTo-Argument $_ }) -join ' '
    $start.UseShellExecute = $false
    $start.CreateNoWindow = $true
    $start.RedirectStandardOutput = $true
    $start.RedirectStandardError = $true
    $start.StandardOutputEncoding = [Text.Encoding]::UTF8
    $start.StandardErrorEncoding = [Text.Encoding]::UTF8
    $process = [System.Diagnostics.Process]::Start($start)
    return [pscustomobject]@{
        Process = $process
        Output  = $process.StandardOutput.ReadToEndAsync()
        Error   = $process.StandardError.ReadToEndAsync()
        Command = "$(Split-Path $Path -Leaf) $($start.Arguments)"
    }
}

# Waits for the end of a program.
function Wait-Program {
    param(
        [Parameter(Mandatory = $true)] $Program,
        [int] $TimeoutSeconds = 180
    )
    if (-not $Program.Process.WaitForExit($TimeoutSeconds * 1000)) {
        try { $Program.Process.Kill() } catch { Write-Warning "it cannot be ended: $_" }
        throw "no end after $TimeoutSeconds s: $($Program.Command)"
    }
    $result = [pscustomobject]@{
        ExitCode = $Program.Process.ExitCode
        Output   = $Program.Output.Result
        Error    = $Program.Error.Result
        Command  = $Program.Command
    }
    $Program.Process.Dispose()
    return $result
}

function Invoke-Program {
    param(
        [Parameter(Mandatory = $true)] [string] $Path,
        [string[]] $Arguments = @(),
        [int] $TimeoutSeconds = 180
    )
    return Wait-Program -Program (Start-Program -Path $Path -Arguments $Arguments) -TimeoutSeconds $TimeoutSeconds
}

# A program of Windows itself, by its full path. Only the codes in -Expect are no failure; -AnyCode leaves
# that to the caller.
function Invoke-System {
    param(
        [Parameter(Mandatory = $true)] [string] $Name,
        [string[]] $Arguments = @(),
        [int[]] $Expect = @(0),
        [switch] $AnyCode,
        [int] $TimeoutSeconds = 180
    )
    $path = Join-Path ([Environment]::SystemDirectory) $Name
    $result = Invoke-Program -Path $path -Arguments $Arguments -TimeoutSeconds $TimeoutSeconds
    if (-not $AnyCode -and $Expect -notcontains $result.ExitCode) {
        throw "$($result.Command) answered $(Format-Code $result.ExitCode)`n$($result.Output)$($result.Error)"
    }
    return $result
}

# What has to hold

function Assert-Elevated {
    $identity = [Security.Principal.WindowsIdentity]::GetCurrent()
    $principal = New-Object Security.Principal.WindowsPrincipal $identity
    if (-not $principal.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {
        throw 'Start this from an elevated PowerShell ("Run as administrator").'
    }
}

# Whether the Windows that runs was started with test signing. bcdedit would tell what is set for the
# next start, in the language of Windows.
function Test-TestSigning {
    $control = Get-ItemProperty -Path 'HKLM:\SYSTEM\CurrentControlSet\Control' -Name SystemStartOptions
    return $control.SystemStartOptions -match '(^|\s)TESTSIGNING(\s|$)'
}

function Assert-TestSigning {
    if (Test-TestSigning) { return }
    $secure = $false
    # It fails where there is no UEFI, and there is no Secure Boot then.
    try { $secure = [bool](Confirm-SecureBootUEFI) } catch { $secure = $false }
    $hint = if ($secure) { "`nSecure Boot is on and would refuse that: turn it off in the firmware first." } else { '' }
    throw @"
Test signing is off, so Windows would not load these drivers. On a machine that may be lost, and with
BitLocker suspended:
    bcdedit /set testsigning on
    shutdown /r /t 0$hint
"@
}

function Assert-Windows {
    $version = [Environment]::OSVersion.Version
    if ($version.Major -lt 10 -or $version.Build -lt 19041) {
        throw "This is Windows build $($version.Build); the drivers need 19041 (Windows 10 2004) or later."
    }
}

# Services

# What the service manager says: Stopped, Running, Start Pending, Stop Pending, or nothing if there is
# no such service.
function Get-DriverState([string] $Service) {
    $driver = Get-CimInstance -ClassName Win32_SystemDriver -Filter "Name='$Service'"
    if ($null -eq $driver) { return $null }
    return [string] $driver.State
}

function Start-Driver {
    param(
        [Parameter(Mandatory = $true)] [string] $Service,
        [switch] $MayFail
    )
    $result = Invoke-System -Name sc.exe -Arguments @('start', $Service) -AnyCode
    if ($result.ExitCode -notin @(0, 1056)) {
        if ($MayFail) { return $false }
        throw "$Service does not start: $(Format-Code $result.ExitCode)"
    }
    return Wait-DriverState -Service $Service -State Running
}

# Asks for the end of a driver. Without -MayWait it has to be unloaded when this returns.
function Stop-Driver {
    param(
        [Parameter(Mandatory = $true)] [string] $Service,
        [switch] $MayWait
    )
    $result = Invoke-System -Name sc.exe -Arguments @('stop', $Service) -AnyCode
    if ($result.ExitCode -notin @(0, 1060, 1061, 1062)) {
        throw "$Service does not stop: $(Format-Code $result.ExitCode)"
    }
    if ($MayWait -or $null -eq (Get-DriverState $Service)) { return }
    $null = Wait-DriverState -Service $Service -State Stopped
}

function Wait-DriverState {
    param(
        [Parameter(Mandatory = $true)] [string] $Service,
        [Parameter(Mandatory = $true)] [string] $State,
        [int] $TimeoutSeconds = 60
    )
    $until = (Get-Date).AddSeconds($TimeoutSeconds)
    while ((Get-DriverState $Service) -ne $State) {
        if ((Get-Date) -gt $until) {
            throw "$Service is $(Get-DriverState $Service), not $State, after $TimeoutSeconds s. A stop waits until the last handle of the device is closed."
        }
        Start-Sleep -Milliseconds 100
    }
    return $true
}

# Packages

# The folder <crate>_package of each driver below a folder, as cargo-make and cargo-wdk name it.
function Find-Package([string] $From) {
    foreach ($driver in $script:Drivers) {
        $folder = Join-Path $From "${driver}_package"
        foreach ($extension in 'sys', 'inf', 'cat') {
            $file = Join-Path $folder "$driver.$extension"
            if (-not (Test-Path -LiteralPath $file)) {
                throw "There is no $file. Build the packages first (cargo make, or cargo wdk build in each driver's folder), or say with -From where they are."
            }
        }
        Get-Item -LiteralPath $folder
    }
}

# The published names (oemN.inf) under which a package is in the driver store. pnputil's labels depend on
# the language; that the published name comes before the original one does not.
function Get-PublishedName([string] $Driver) {
    $listed = Invoke-System -Name pnputil.exe -Arguments @('/enum-drivers') -Expect @(0, 259)
    $published = $null
    foreach ($line in $listed.Output -split '\r?\n') {
        if ($line -match '\b(oem\d+\.inf)\b') { $published = $Matches[1] }
        elseif ($published -and $line -match "(^|\s)$([regex]::Escape("$Driver.inf"))\s*$") {
            $published
            $published = $null
        }
    }
}

# Makes the loader and pnputil trust the certificate of a package, and answers its thumbprint where a
# store did not have it before.
function Add-TestCertificate([string] $File) {
    $certificate = New-Object Security.Cryptography.X509Certificates.X509Certificate2 $File
    foreach ($store in 'Root', 'TrustedPublisher') {
        $path = "Cert:\LocalMachine\$store"
        if (Test-Path -LiteralPath (Join-Path $path $certificate.Thumbprint)) { continue }
        $null = Import-Certificate -FilePath $File -CertStoreLocation $path
        [pscustomobject]@{ Store = $store; Thumbprint = $certificate.Thumbprint }
    }
}

function Get-InstallationRecord {
    $file = Join-Path $script:StateFolder 'installation.json'
    if (-not (Test-Path -LiteralPath $file)) { return [pscustomobject]@{ Certificates = @() } }
    return Get-Content -LiteralPath $file -Raw | ConvertFrom-Json
}

function Save-InstallationRecord($Record) {
    $null = New-Item -ItemType Directory -Force -Path $script:StateFolder
    ConvertTo-Json -InputObject $Record -Depth 4 | Set-Content -LiteralPath (Join-Path $script:StateFolder 'installation.json') -Encoding UTF8
}

# Installs both packages, or newer versions over those that are there. Answers whether Windows has to be
# restarted.
function Install-Package([string] $From) {
    $packages = @(Find-Package $From)
    $record = Get-InstallationRecord
    $added = @($record.Certificates)
    foreach ($package in $packages) {
        foreach ($file in Get-ChildItem -LiteralPath $package.FullName -Filter *.cer) {
            $added += @(Add-TestCertificate $file.FullName)
        }
    }
    # Noted before anything can fail, so that a removal finds it.
    Save-InstallationRecord ([pscustomobject]@{ Certificates = @($added) })

    $restart = $false
    # The image of a driver that runs stays in memory; stop both, in the order of use.
    foreach ($driver in 'nsemail_client', 'nsemail_provider') { Stop-Driver $driver }
    foreach ($package in $packages) {
        $driver = $package.Name -replace '_package$', ''
        $inf = Join-Path $package.FullName "$driver.inf"
        Write-Step "installing $inf"
        $before = @(Get-PublishedName $driver)
        $result = Invoke-System -Name pnputil.exe -Arguments @('/add-driver', $inf, '/install') -Expect @(0, 259, 3010)
        if ($result.ExitCode -eq 3010) { $restart = $true }
        if ($null -eq (Get-DriverState $driver)) {
            throw "pnputil installed $inf, and yet there is no service $driver.`n$($result.Output)"
        }
        # Older versions would come back when the new one is removed.
        $after = @(Get-PublishedName $driver)
        if ($after.Count -gt $before.Count) {
            foreach ($old in $before) {
                $result = Invoke-System -Name pnputil.exe -Arguments @('/delete-driver', $old) -AnyCode
                if ($result.ExitCode -notin @(0, 3010)) { Write-Warning "$old stays in the driver store: $(Format-Code $result.ExitCode)" }
            }
        }
    }
    return $restart
}

# Removes both packages and the certificates that an installation added. Nothing of it is a failure if it
# has been done before. Answers whether Windows has to be restarted.
function Remove-Package {
    $restart = $false
    foreach ($driver in 'nsemail_client', 'nsemail_provider') {
        if ($null -ne (Get-DriverState $driver)) { Stop-Driver $driver }
    }
    foreach ($driver in $script:Drivers) {
        foreach ($published in @(Get-PublishedName $driver)) {
            Write-Step "removing $driver ($published)"
            $result = Invoke-System -Name pnputil.exe -Arguments @('/delete-driver', $published, '/uninstall') -Expect @(0, 3010)
            if ($result.ExitCode -eq 3010) { $restart = $true }
        }
    }
    foreach ($certificate in @((Get-InstallationRecord).Certificates)) {
        $path = "Cert:\LocalMachine\$($certificate.Store)\$($certificate.Thumbprint)"
        if (Test-Path -LiteralPath $path) { Remove-Item -LiteralPath $path }
    }
    Remove-Item -LiteralPath (Join-Path $script:StateFolder 'installation.json') -ErrorAction SilentlyContinue
    return $restart
}

Export-ModuleMember -Function @(
    'Get-DriverName', 'Get-StateFolder', 'Format-Code', 'Write-Step'
    'Start-Program', 'Wait-Program', 'Invoke-Program', 'Invoke-System'
    'Assert-Elevated', 'Assert-TestSigning', 'Assert-Windows'
    'Get-DriverState', 'Start-Driver', 'Stop-Driver', 'Wait-DriverState'
    'Find-Package', 'Install-Package', 'Remove-Package'
)
