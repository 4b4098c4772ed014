<#
.SYNOPSIS
Takes both drivers through the scenarios and the gates of Driver Verifier, on a machine that may crash.
.DESCRIPTION
Installs both packages, runs the scenarios of Scenarios.psm1, and runs them again in each gate:

  plain          as it is
  allocations    each allocation of the framework after the n-th fails, for n = 0, 1, 2, ...
  standard       Driver Verifier with its standard rules
  low-resources  and one allocation of 16 fails, at random
  delays         and delays at random where threads meet
  pending        and requests pend by force; IRPs are logged
  code           and the rules for code integrity, and more of those for DDIs
  now            those standard rules that Windows 11 takes without a restart; only if asked for

A gate of Driver Verifier takes effect when Windows starts: the script restarts it and goes on by itself,
by a scheduled task. When all gates are through, or after -Undo, everything is as before: packages,
certificates, verifier, task. The logs stay.

A machine that stops with a bug check is a gate that failed. Windows comes back without the verifier
(boot mode resetonunusualshutdown), the script collects the dump, undoes everything, and says so.
.PARAMETER Gate
The gates to go through, in this order.
.PARAMETER Rounds
How often the scenarios run in each gate.
.PARAMETER Only
A pattern for the names of scenarios; all by default.
.PARAMETER NoRestart
Never restarts Windows: leaves out the gates that need it, and puts "now" in their place on Windows 11.
.PARAMETER Resume
Goes on with the run that was interrupted. The scheduled task does that.
.PARAMETER Undo
Ends the run and undoes everything.
.PARAMETER Yes
Does not ask before it restarts Windows for the first time.
.EXAMPLE
.\vm-test.ps1
.EXAMPLE
.\vm-test.ps1 -Gate plain -Rounds 1 -NoRestart
#>
param(
    [ValidateSet('plain', 'allocations', 'standard', 'low-resources', 'delays', 'pending', 'code', 'now')]
    [string[]] $Gate = @('plain', 'allocations', 'standard', 'low-resources', 'delays', 'pending', 'code'),
    [ValidateRange(1, 1000)] [int] $Rounds = 3,
    [string] $Only = '*',
    [switch] $NoRestart,
    [switch] $Resume,
    [switch] $Undo,
    [switch] $Yes
)
$ErrorActionPreference = 'Stop'
Import-Module (Join-Path $PSScriptRoot 'Lab.psm1') -Force
Import-Module (Join-Path $PSScriptRoot 'Gates.psm1') -Force
Import-Module (Join-Path $PSScriptRoot 'Scenarios.psm1') -Force

$TaskName = 'NsEmail vm-test'
$StateFile = Join-Path (Get-StateFolder) 'vm-test.json'

# The run: what is to be done, how far it is, and what it found. Every change goes to the disk first.

function Read-Run {
    if (-not (Test-Path -LiteralPath $StateFile)) { return $null }
    return Get-Content -LiteralPath $StateFile -Raw | ConvertFrom-Json
}

function Save-Run($Run) {
    $null = New-Item -ItemType Directory -Force -Path (Split-Path $StateFile)
    $next = "$StateFile.new"
    ConvertTo-Json -InputObject $Run -Depth 8 | Set-Content -LiteralPath $next -Encoding UTF8
    Move-Item -LiteralPath $next -Destination $StateFile -Force
}

function New-Run {
    $logs = Join-Path (Get-StateFolder) ("vm-test-{0:yyyyMMdd-HHmmss}" -f (Get-Date))
    $null = New-Item -ItemType Directory -Force -Path $logs
    return [pscustomobject]@{
        Gates    = @($Gate)
        Next     = 0
        # waiting: to be begun; armed: begins when Windows has restarted; running: under way.
        Phase    = 'waiting'
        Since    = (Get-Date).ToString('o')
        Rounds   = $Rounds
        Only     = $Only
        Restart  = -not $NoRestart
        Logs     = $logs
        Failed   = @()
        # Whether Driver Verifier is still at work, though disarmed.
        Verified = $false
    }
}

function Set-Phase($Run, [string] $Phase) {
    $Run.Phase = $Phase
    $Run.Since = (Get-Date).ToString('o')
    Save-Run $Run
}

function Add-Failure($Run, [string] $What) {
    Write-Warning $What
    $Run.Failed = @($Run.Failed) + $What
    Save-Run $Run
}

function Register-Continuation {
    $script = Join-Path $PSScriptRoot 'vm-test.ps1'
    $action = New-ScheduledTaskAction -Execute 'powershell.exe' -Argument "-NoProfile -ExecutionPolicy Bypass -File `"$script`" -Resume"
    $trigger = New-ScheduledTaskTrigger -AtStartup
    $trigger.Delay = 'PT1M'
    $principal = New-ScheduledTaskPrincipal -UserId 'SYSTEM' -LogonType ServiceAccount -RunLevel Highest
    $settings = New-ScheduledTaskSettingsSet -AllowStartIfOnBatteries -DontStopIfGoingOnBatteries -ExecutionTimeLimit ([TimeSpan]::Zero)
    $null = Register-ScheduledTask -TaskName $TaskName -Action $action -Trigger $trigger -Principal $principal -Settings $settings -Force
}

function Unregister-Continuation {
    if (Get-ScheduledTask -TaskName $TaskName -ErrorAction SilentlyContinue) {
        Unregister-ScheduledTask -TaskName $TaskName -Confirm:$false
    }
}

function Restart-Windows([string] $Why) {
    Write-Host "Windows restarts in 10 s: $Why"
    $null = Invoke-System -Name shutdown.exe -Arguments @('/r', '/t', '10', '/c', $Why) -Expect @(0, 1190)
}

# Undoes everything. Safe at any point, and again.
function Invoke-Undo($Run) {
    Write-Step 'undoing everything'
    Unregister-Continuation
    $restart = Disarm-Verifier
    if ($null -ne $Run -and $Run.Verified) { $restart = $true }
    Clear-AllocationFailures
    if (Remove-Package) { $restart = $true }
    if ($null -ne $Run) {
        Save-Evidence -Folder $Run.Logs -Since ([DateTime] $Run.Since)
        $summary = @("gates: $(@($Run.Gates) -join ', '); rounds: $($Run.Rounds)")
        if (@($Run.Failed).Count) { $summary += @($Run.Failed) } else { $summary += 'all passed' }
        Set-Content -LiteralPath (Join-Path $Run.Logs 'summary.txt') -Value $summary -Encoding UTF8
    }
    Remove-Item -LiteralPath $StateFile -ErrorAction SilentlyContinue
    return $restart
}

# Runs the scenarios of the gate that is next, as often as asked for.
function Invoke-Gate($Run) {
    $name = @($Run.Gates)[$Run.Next]
    $work = Join-Path $Run.Logs ("{0:d2}-{1}" -f $Run.Next, $name)
    $null = New-Item -ItemType Directory -Force -Path $work
    Set-Phase $Run 'running'
    Write-Step "gate $name"
    $results = @()
    try {
        if ($name -eq 'allocations') {
            Invoke-AllocationSweep
        } elseif ($name -eq 'low-resources') {
            # Both drivers have to be up before faults begin; after that they need not come up.
            Start-Both
            Assert-Verified
            Wait-Faults
            foreach ($round in 1..$Run.Rounds) { Invoke-Churn 100 }
            Save-VerifierCounters (Join-Path $work 'verifier.txt')
        } else {
            if (Test-Armed $name) {
                Start-Both
                Assert-Verified
            }
            foreach ($round in 1..$Run.Rounds) {
                Write-Step "gate $name, round $round of $($Run.Rounds)"
                $results += @(Invoke-ScenarioList -Work $work -Only $Run.Only)
                if (Test-Armed $name) { Save-VerifierCounters (Join-Path $work "verifier-$round.txt") }
            }
        }
        Stop-Both
    } catch {
        Add-Failure $Run "gate ${name}: $_"
    }
    ConvertTo-Json -InputObject @($results) -Depth 4 | Set-Content -LiteralPath (Join-Path $work 'results.json') -Encoding UTF8
    foreach ($result in $results | Where-Object { -not $_.Passed }) { Add-Failure $Run "gate ${name}: $($result.Scenario): $($result.Message)" }
    Write-Step "gate ${name}: $(@($results | Where-Object { $_.Passed }).Count) of $(@($results).Count) scenarios passed"
}

# Goes on until the end, or until Windows has to be restarted.
function Step-Run($Run) {
    if ($Run.Phase -eq 'running') {
        Add-Failure $Run "gate $(@($Run.Gates)[$Run.Next]): Windows went down or the script was ended; see the dumps in $($Run.Logs)"
        Save-Evidence -Folder $Run.Logs -Since ([DateTime] $Run.Since)
        return $true
    }
    while ($Run.Next -lt @($Run.Gates).Count) {
        $name = @($Run.Gates)[$Run.Next]
        if ($Run.Phase -eq 'waiting' -and (Test-NeedsRestart $name)) {
            Stop-Both
            Set-VerifierGate $name
            Register-Continuation
            Set-Phase $Run 'armed'
            Restart-Windows "gate $name of Driver Verifier"
            return $false
        }
        if ($Run.Phase -eq 'armed' -and -not (Test-RestartedSince ([DateTime] $Run.Since))) {
            throw "Gate $name begins when Windows has restarted. Restart it, or end the run with -Undo."
        }
        if ($Run.Phase -eq 'armed') { $Run.Verified = $false }
        if ($name -eq 'now') { Set-VerifierGate $name }
        Invoke-Gate $Run
        if (Disarm-Verifier) { $Run.Verified = $true }
        $Run.Next = $Run.Next + 1
        Set-Phase $Run 'waiting'
    }
    return $true
}

Assert-Elevated
$run = Read-Run
if ($Undo) {
    if (Invoke-Undo $run) { Write-Warning 'Windows has to be restarted before this is complete.' }
    return
}
Assert-Windows
Assert-TestSigning
if ($Resume) {
    if ($null -eq $run) {
        Unregister-Continuation
        Write-Host 'There is no run to go on with.'
        return
    }
} else {
    if ($null -ne $run) {
        throw "A run is under way, at gate $(@($run.Gates)[$run.Next]). vm-test.ps1 -Resume goes on with it, -Undo ends it."
    }
    Assert-VerifierIsFree
    if ($NoRestart) {
        $Gate = @(Select-GateWithoutRestart $Gate)
        if (-not $Gate.Count) { throw 'Each of these gates needs a restart of Windows.' }
        Write-Host "Gates without a restart: $($Gate -join ', ')"
    } elseif (-not $Yes -and @($Gate | Where-Object { Test-NeedsRestart $_ }).Count) {
        Write-Host "This restarts Windows $(@($Gate | Where-Object { Test-NeedsRestart $_ }).Count) times or more, and may crash it."
        if ((Read-Host 'Go on? [y/N]') -notmatch '^[yY]') { return }
    }
    $run = New-Run
    Save-Run $run
}

$null = Start-Transcript -Path (Join-Path $run.Logs 'transcript.txt') -Append
try {
    if (-not $Resume) { $null = Install-Package $PSScriptRoot }
    if (Step-Run $run) {
        $restart = Invoke-Undo $run
        Write-Host "Logs: $($run.Logs)"
        if (@($run.Failed).Count) { Write-Warning "FAILED:`n$(@($run.Failed) -join "`n")" } else { Write-Host 'All gates passed.' }
        if ($restart) {
            # The verifier is off for the next start only.
            if ($run.Restart) { Restart-Windows 'to leave Driver Verifier' } else { Write-Warning 'Windows has to be restarted before this is complete.' }
        }
        if (@($run.Failed).Count) { exit 1 }
    }
} finally {
    $null = Stop-Transcript
}
