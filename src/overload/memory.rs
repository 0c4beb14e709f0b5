//! How much of its memory limit the process uses, as the kernel accounts for it in control groups.
//!
//! What counts is what cannot be given back: anonymous memory and the buffers of sockets. The page cache counts
//! against the limit as well, but the kernel drops it before anybody is killed.

use std::fs;
use std::path::{Path, PathBuf};

/// The groups with a limit that the process is in: its own and those around it, as far as they can be seen.
#[derive(Debug)]
pub struct Memory(Vec<Group>);

#[derive(Debug)]
struct Group {
    version: Version,
    folder: PathBuf,
}

/// The two interfaces of the kernel (its documentation: admin-guide/cgroup-v1/memory, admin-guide/cgroup-v2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

impl Memory {
    /// Looks for the groups of this process below `root`, which is `/` but in tests.
    pub fn find(root: &Path) -> Self {
        let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
        let (version, path) = own_group(&groups);
        let mount = root.join(match version {
            Version::V1 => "sys/fs/cgroup/memory",
            Version::V2 => "sys/fs/cgroup",
        });
        let own = mount.join(path.trim_start_matches('/'));
        // In a container the path is often the one on the host, while what is mounted is the own group.
        let own = if own.is_dir() { own } else { mount.clone() };
        let around = own.ancestors().take_while(|folder| folder.starts_with(&mount));
        let groups = around.map(|folder| Group { version, folder: folder.to_owned() });
        Self(groups.filter(|group| group.limit().is_some()).collect())
    }

    /// The share of the limit that is in use, of the group that is nearest to its limit; none where no group has one.
    pub fn share(&self) -> Option<f64> {
        self.0.iter().filter_map(Group::share).reduce(f64::max)
    }
}

impl Group {
    fn share(&self) -> Option<f64> {
        Some(self.used() as f64 / self.limit()? as f64)
    }

    /// In bytes; none where there is none.
    fn limit(&self) -> Option<u64> {
        let bytes = match self.version {
            Version::V1 => self.read("memory.limit_in_bytes").trim().parse().ok(),
            Version::V2 => self.read("memory.max").trim().parse().ok(),
        };
        bytes.filter(|bytes| (1..UNLIMITED_V1).contains(bytes))
    }

    /// In bytes, everything below the group included.
    fn used(&self) -> u64 {
        let stat = self.read("memory.stat");
        match self.version {
            Version::V1 => {
                let sockets = self.read("memory.kmem.tcp.usage_in_bytes").trim().parse().unwrap_or(0);
                stat_field(&stat, "total_rss") + sockets
            }
            Version::V2 => stat_field(&stat, "anon") + stat_field(&stat, "sock"),
        }
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.folder.join(file)).unwrap_or_default()
    }
}

/// What version 1 says for no limit, in pages of any size: the largest number of bytes, rounded down.
const UNLIMITED_V1: u64 = 1 << 62;

/// The group that accounts for memory, from `/proc/self/cgroup` (cgroups(7)): lines of `ID:CONTROLLERS:PATH`.
/// Where version 1 has the memory controller, version 2 has not.
fn own_group(groups: &str) -> (Version, &str) {
    let lines = || groups.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let v1 = lines().find(|(controllers, _)| controllers.split(',').any(|name| name == "memory"));
    let v2 = || lines().find(|(controllers, _)| controllers.is_empty());
    match v1 {
        Some((_, path)) => (Version::V1, path),
        None => (Version::V2, v2().map_or("/", |(_, path)| path)),
    }
}

/// A number of `memory.stat`, which has a name and a number in each line; 0 where it is missing.
fn stat_field(stat: &str, name: &str) -> u64 {
    let field = |line: &str| line.split_once(' ').filter(|(found, _)| *found == name)?.1.trim().parse().ok();
    stat.lines().find_map(field).unwrap_or(0)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Files as two kernels show them.
    fn recorded(case: &str) -> Memory {
        Memory::find(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded/memory").join(case))
    }

    /// A group of version 2 that is the process's own and the outermost.
    pub(in crate::overload) fn write_v2(root: &Path, max: &str, stat: &str) {
        let (proc, group) = (root.join("proc/self"), root.join("sys/fs/cgroup"));
        fs::create_dir_all(&proc).unwrap();
        fs::create_dir_all(&group).unwrap();
        fs::write(proc.join("cgroup"), "0::/\n").unwrap();
        fs::write(group.join("memory.max"), max).unwrap();
        fs::write(group.join("memory.stat"), stat).unwrap();
    }

    #[test]
    fn version_2_counts_anonymous_memory_and_sockets_against_the_limit() {
        // 118 MiB and 6 MiB of 256 MiB; 900 MiB of files do not count.
        let share = recorded("v2").share().unwrap();
        assert_eq!(share, (123_731_968 + 6_291_456) as f64 / 268_435_456.0);
    }

    #[test]
    fn version_1_counts_the_same() {
        let share = recorded("v1").share().unwrap();
        assert_eq!(share, (27_189_248 + 1_048_576) as f64 / 134_217_728.0);
    }

    #[test]
    fn the_tightest_group_around_the_process_counts() {
        let share = recorded("v2-nested").share().unwrap();
        assert_eq!(share, 60.0 / 64.0);
    }

    #[test]
    fn without_a_limit_there_is_no_share() {
        for case in ["v1-unlimited", "v2-unlimited", "nothing"] {
            assert_eq!(recorded(case).share(), None, "{case}");
        }
    }
}
