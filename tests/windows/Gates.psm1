# The gates: how Driver Verifier and the framework's own verifier are armed, checked, read and disarmed.
# Syntax and numbers of rule classes are those of the page "Driver Verifier Command Syntax".

Set-StrictMode -Version 2.0
Import-Module (Join-Path $PSScriptRoot 'Lab.psm1')

$script:Images = @('nsemail_provider.sys', 'nsemail_client.sys')

# What /standard stands for.
$script:Standard = @('1', '2', '4', '5', '6', '8', '9', '12', '18', '34')

# What each gate adds to it. Those below have no place in one gate: failing memory hides what delays show.
$script:Added = @{
    'standard'      = @()
    'low-resources' = @('3')            # randomized low resources simulation, 6 %
    'delays'        = @('24')           # kernel synchronization delay fuzzing
    'pending'       = @('10', '11')     # force pending I/O requests, IRP logging
    'code'          = @('20', '26')     # DDI compliance (additional), code integrity
}

# Those of the standard rules that can be had without a restart, on Windows 11.
$script:WithoutRestart = @('1', '4', '5', '9', '12', '18')

$script:MemoryManagement = 'HKLM:\SYSTEM\CurrentControlSet\Control\Session Manager\Memory Management'

function Test-NeedsRestart([string] $Gate) { return $script:Added.ContainsKey($Gate) }
function Test-Armed([string] $Gate) { return $Gate -eq 'now' -or (Test-NeedsRestart $Gate) }
function Test-Windows11 { return [Environment]::OSVersion.Version.Build -ge 22000 }

function Select-GateWithoutRestart([string[]] $Gate) {
    $kept = @($Gate | Where-Object { -not (Test-NeedsRestart $_) })
    if ((Test-Windows11) -and $kept -notcontains 'now' -and $kept.Count -lt $Gate.Count) { $kept += 'now' }
    return $kept
}

# The drivers that are verified after the next start, as verifier.exe keeps them.
function Get-VerifiedDriver {
    $settings = Get-ItemProperty -Path $script:MemoryManagement
    if ($null -eq $settings.PSObject.Properties['VerifyDrivers']) { return '' }
    return [string] $settings.VerifyDrivers
}

# Somebody else's settings are not overwritten.
function Assert-VerifierIsFree {
    $others = @((Get-VerifiedDriver) -split '[\s\0]+' | Where-Object { $_ -and $script:Images -notcontains $_ })
    if ($others.Count) {
        throw "Driver Verifier is armed for $($others -join ', '). Clear that first: verifier /reset, then restart Windows."
    }
}

# Exit codes of verifier.exe: 0 done, 1 error, 2 takes effect when Windows has been restarted.
function Invoke-Verifier([string[]] $Arguments) {
    return Invoke-System -Name verifier.exe -Arguments $Arguments -Expect @(0, 2)
}

function Set-VerifierGate([string] $Gate) {
    if ($Gate -eq 'now') {
        if (-not (Test-Windows11)) { throw 'Gate "now" needs Windows 11.' }
        $null = Invoke-Verifier (@('/dif') + $script:WithoutRestart + @('/now', '/driver') + $script:Images)
        return
    }
    $rules = @('/standard')
    if ($Gate -ne 'standard') { $rules = @('/ruleclasses') + $script:Standard + $script:Added[$Gate] }
    # With this boot mode a crash does not leave a machine that crashes whenever it starts.
    $null = Invoke-Verifier ($rules + @('/bootmode', 'resetonunusualshutdown', '/driver') + $script:Images)
}

# Ends verification: at once where it was begun so, else from the next start on. Answers whether that
# start is needed.
function Disarm-Verifier {
    if (Test-Windows11) {
        # It fails if there is nothing to stop.
        $null = Invoke-System -Name verifier.exe -Arguments @('/stop') -AnyCode
    }
    if (-not (Get-VerifiedDriver)) { return $false }
    $null = Invoke-Verifier @('/reset')
    return $true
}

# That both drivers, which have to be loaded, are verified now. Otherwise a gate would prove nothing.
function Assert-Verified {
    $listed = (Invoke-Verifier @('/query')).Output
    foreach ($image in $script:Images) {
        if ($listed -notmatch [regex]::Escape($image)) { throw "Driver Verifier is not at work on $image.`n$listed" }
    }
}

function Save-VerifierCounters([string] $File) {
    Set-Content -LiteralPath $File -Value (Invoke-Verifier @('/query')).Output -Encoding UTF8
}

# Memory does not fail in the first minutes after a start; the documentation says seven, and eight.
function Wait-Faults {
    $booted = (Get-CimInstance -ClassName Win32_OperatingSystem).LastBootUpTime
    $left = [int] (9 * 60 - ((Get-Date) - $booted).TotalSeconds)
    if ($left -gt 0) {
        Write-Host "   faults begin in $left s"
        Start-Sleep -Seconds $left
    }
}

function Test-RestartedSince([DateTime] $Time) {
    return (Get-CimInstance -ClassName Win32_OperatingSystem).LastBootUpTime -gt $Time
}

# The framework's verifier, by the values of "Using KMDF Verifier"

function Get-WdfKey([string] $Service) { return "HKLM:\SYSTEM\CurrentControlSet\Services\$Service\Parameters\Wdf" }

function Clear-AllocationFailures {
    foreach ($service in Get-DriverName) {
        $key = Get-WdfKey $service
        if (-not (Test-Path -LiteralPath $key)) { continue }
        foreach ($value in 'VerifierOn', 'VerifierAllocateFailCount', 'DbgBreakOnError') {
            Remove-ItemProperty -LiteralPath $key -Name $value -ErrorAction SilentlyContinue
        }
    }
}

# Starts each driver with every allocation of the framework failing after the n-th, for n from 0 until it
# starts eight times in a row. A start that fails has to leave nothing behind: the next one would not work.
function Invoke-AllocationSweep {
    try {
        foreach ($service in Get-DriverName) {
            $key = Get-WdfKey $service
            # Made anew, the key would lose what the framework keeps there.
            if (-not (Test-Path -LiteralPath $key)) { $null = New-Item -Path $key -Force }
            $started = 0
            $count = 0
            while ($started -lt 8 -and $count -lt 500) {
                Set-ItemProperty -LiteralPath $key -Name VerifierOn -Value 1 -Type DWord
                # Without a debugger a break would be a bug check.
                Set-ItemProperty -LiteralPath $key -Name DbgBreakOnError -Value 0 -Type DWord
                Set-ItemProperty -LiteralPath $key -Name VerifierAllocateFailCount -Value $count -Type DWord
                if (Start-Driver $service -MayFail) {
                    $started++
                    Stop-Driver $service
                } else {
                    $started = 0
                }
                $count++
            }
            Write-Host "   ${service}: $count starts with failing allocations"
            if ($started -lt 8) { throw "$service never starts, whatever number of allocations succeeds" }
            Clear-AllocationFailures
            $null = Start-Driver $service
            Stop-Driver $service
        }
    } finally {
        Clear-AllocationFailures
    }
}

# Dumps and reports of bug checks since a time, and what the service manager and the framework logged.
function Save-Evidence([string] $Folder, [DateTime] $Since) {
    $dumps = @(Join-Path $env:SystemRoot 'Minidump\*.dmp') + @(Join-Path $env:SystemRoot 'MEMORY.DMP')
    foreach ($dump in Get-Item -Path $dumps -ErrorAction SilentlyContinue | Where-Object { $_.LastWriteTime -gt $Since }) {
        Copy-Item -LiteralPath $dump.FullName -Destination $Folder -Force
        Write-Warning "there is a dump: $($dump.Name)"
    }
    # 1001: Windows has restarted after a bug check; 7000 to 7045: the service manager.
    $filters = @(
        @{ LogName = 'System'; StartTime = $Since; Id = 1001 },
        @{ LogName = 'System'; StartTime = $Since; ProviderName = 'Service Control Manager' }
    )
    $events = @()
    foreach ($filter in $filters) { $events += @(Get-WinEvent -FilterHashtable $filter -ErrorAction SilentlyContinue) }
    $events | Sort-Object TimeCreated | Format-List -Property @('TimeCreated', 'Id', 'ProviderName', 'Message') |
        Out-File -LiteralPath (Join-Path $Folder 'events.txt') -Encoding UTF8 -Append
}

Export-ModuleMember -Function @(
    'Test-NeedsRestart', 'Test-Armed', 'Select-GateWithoutRestart', 'Assert-VerifierIsFree'
    'Set-VerifierGate', 'Disarm-Verifier', 'Assert-Verified', 'Save-VerifierCounters', 'Wait-Faults'
    'Test-RestartedSince', 'Clear-AllocationFailures', 'Invoke-AllocationSweep', 'Save-Evidence'
)
