//! Paths of the kernel, brought to the one volume.

use crate::ntstatus::NtStatus;

/// The longest name of a file, in UTF-16 units.
const NAME_MAX: usize = 255;

/// The names that lead from the root of the volume to a file; no name is empty, `.` or `..`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VolumePath(Vec<String>);

impl VolumePath {
    /// Reads an absolute path of the kernel's namespace.
    pub(crate) fn parse(path: &str) -> Result<Self, NtStatus> {
        const ROOTS: [(&str, &[&str]); 5] = [
            (r"\SystemRoot", &["Windows"]),
            (r"\??\C:", &[]),
            (r"\DosDevices\C:", &[]),
            (r"\GLOBAL??\C:", &[]),
            (r"\Device\HarddiskVolume1", &[]),
        ];
        for (root, start) in ROOTS {
            let matches = path
                .get(..root.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(root));
            let Some(rest) = path.get(root.len()..).filter(|_| matches) else {
                continue;
            };
            if !rest.is_empty() && !rest.starts_with('\\') {
                continue;
            }
            let base = Self(start.iter().map(|&name| name.to_owned()).collect());
            return base.join(rest.strip_prefix('\\').unwrap_or(rest));
        }
        let rooted = path.starts_with('\\');
        Err(if rooted {
            NtStatus::OBJECT_PATH_NOT_FOUND
        } else {
            NtStatus::OBJECT_PATH_SYNTAX_BAD
        })
    }

    /// Goes on from this directory by a relative path, which may be empty.
    pub(crate) fn join(&self, relative: &str) -> Result<Self, NtStatus> {
        let mut parts = self.0.clone();
        let relative = relative.strip_suffix('\\').unwrap_or(relative);
        if relative.is_empty() {
            return Ok(Self(parts));
        }
        for name in relative.split('\\') {
            let bad = name.is_empty()
                || name == "."
                || name == ".."
                || name.encode_utf16().count() > NAME_MAX
                || name.contains(['/', ':', '*', '?', '"', '<', '>', '|'])
                || name.chars().any(|c| c < ' ');
            if bad {
                return Err(NtStatus::OBJECT_NAME_INVALID);
            }
            parts.push(name.to_owned());
        }
        Ok(Self(parts))
    }

    /// Goes on by a name of the volume.
    pub(crate) fn child(&self, name: &str) -> Self {
        Self(
            self.0
                .iter()
                .map(String::as_str)
                .chain([name])
                .map(str::to_owned)
                .collect(),
        )
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.0
    }

    pub(crate) const fn depth(&self) -> usize {
        self.0.len()
    }

    /// Returns the first `depth` names.
    pub(crate) fn prefix(&self, depth: usize) -> Self {
        Self(self.0.iter().take(depth).cloned().collect())
    }

    /// Puts this path, which begins with a path of that many names, below `to` instead.
    pub(crate) fn moved(&self, names: usize, to: &Self) -> Self {
        Self(to.0.iter().chain(self.0.iter().skip(names)).cloned().collect())
    }

    pub(crate) fn parent(&self) -> Self {
        self.prefix(self.0.len().saturating_sub(1))
    }

    /// A text that is the same for all spellings of the path.
    pub(crate) fn key(&self) -> String {
        self.0.join("\\").to_uppercase()
    }
}
