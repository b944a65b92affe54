//! What surrounds this process: a container, a pod, a unit of systemd. What changes something there is said in its words.

use std::borrow::Cow;
use std::fs;
use std::path::Path;

/// What is recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Around {
    Docker,
    Podman,
    /// A pod of Kubernetes, whatever engine makes its containers.
    Pod,
    /// Another container, and what it calls itself.
    Container(String),
    /// A unit of systemd, and nothing narrower.
    Unit(String),
    /// Nothing that could be told.
    Nothing,
}

impl Around {
    pub(super) fn look() -> Around {
        Around::of(Path::new("/"), |name| std::env::var_os(name).is_some())
    }

    /// As the files below `root` tell, and the variables that this process has.
    fn of(root: &Path, has_variable: impl Fn(&str) -> bool) -> Around {
        let there = |path: &str| root.join(path).exists();
        let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
        // Asked before the engines, which leave their marks in pods, too.
        if has_variable("KUBERNETES_SERVICE_HOST")
            || there("var/run/secrets/kubernetes.io")
            || groups.contains("kubepods")
        {
            return Around::Pod;
        }
        let environment = fs::read(root.join("proc/1/environ")).unwrap_or_default();
        let told = environment.split(|&byte| byte == 0).find_map(|word| word.strip_prefix(b"container="));
        let told = told.map(|kind| String::from_utf8_lossy(kind).into_owned());
        // What others than root may read of it, where systemd is in the container.
        let told = told.or_else(|| fs::read_to_string(root.join("run/systemd/container")).ok());
        match told.as_deref().map(str::trim) {
            Some("docker") => Around::Docker,
            Some("podman") => Around::Podman,
            _ if there(".dockerenv") => Around::Docker,
            _ if there("run/.containerenv") => Around::Podman,
            Some(kind) if !kind.is_empty() => Around::Container(kind.to_owned()),
            _ => unit(&groups).map_or(Around::Nothing, Around::Unit),
        }
    }

    /// What it is called, if it is a container.
    pub(super) fn container(&self) -> Option<&str> {
        match self {
            Around::Docker => Some("docker"),
            Around::Podman => Some("podman"),
            Around::Pod => Some("kubernetes"),
            Around::Container(kind) => Some(kind),
            Around::Unit(_) | Around::Nothing => None,
        }
    }

    /// How a filter of system calls is changed, where there is one.
    pub(super) fn without_filter(&self) -> Cow<'static, str> {
        match self {
            Around::Docker => "docker run --security-opt seccomp=unconfined ...".into(),
            Around::Podman => "podman run --security-opt seccomp=unconfined ...".into(),
            Around::Pod => "securityContext: { seccompProfile: { type: Unconfined } } in the pod's spec".into(),
            Around::Container(kind) => {
                format!("a filter that refuses less, where the container ({kind}) is set up").into()
            }
            Around::Unit(unit) => format!("SystemCallFilter= that refuses less: systemctl edit {unit}").into(),
            Around::Nothing => "a filter that refuses less, from whoever set it up before it started this".into(),
        }
    }

    /// How containers come to see one cluster; `named` says whether the kernel names processes of other PID namespaces.
    pub(super) fn one_namespace(&self, named: bool) -> &'static str {
        match (self, named) {
            (Around::Docker, true) => "docker run --network=container:NAME ...",
            (Around::Docker, false) => "docker run --network=container:NAME --pid=container:NAME ...",
            (Around::Podman, true) => "podman run --network=container:NAME ...",
            (Around::Podman, false) => "podman run --network=container:NAME --pid=container:NAME ...",
            (Around::Pod, true) => "containers of one pod: they share its network namespace",
            (Around::Pod, false) => "containers of one pod, with shareProcessNamespace: true in its spec",
            (_, true) => "one network namespace for all containers of a cluster",
            (_, false) => "one network namespace and one of processes for all containers of a cluster",
        }
    }
}

/// The service that a process is of, by the name of its control group: what runs below `user@1000.service` is in a
/// group of its own there.
fn unit(groups: &str) -> Option<String> {
    let path =
        groups.lines().find_map(|line| line.strip_prefix("0::").or(line.split_once(":name=systemd:").map(|l| l.1)))?;
    let last = path.rsplit('/').next()?;
    last.ends_with(".service").then(|| last.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A root folder with these files.
    fn with(what: &str, files: &[(&str, &str)], variable: Option<&str>) -> Around {
        let root = std::env::temp_dir().join(format!("rsm-around-{what}-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let found = Around::of(&root, |name| Some(name) == variable);
        fs::remove_dir_all(&root).unwrap();
        found
    }

    #[test]
    fn containers_are_recognised() {
        fn files(files: &[(&str, &str)], variable: Option<&str>) -> Around {
            with("containers", files, variable)
        }
        assert_eq!(files(&[], None), Around::Nothing);
        assert_eq!(files(&[(".dockerenv", "")], None), Around::Docker);
        assert_eq!(files(&[("run/.containerenv", "")], None), Around::Podman);
        assert_eq!(files(&[("proc/1/environ", "A=b\0container=podman\0")], None), Around::Podman);
        assert_eq!(files(&[("proc/1/environ", "container=oci\0"), ("run/.containerenv", "")], None), Around::Podman);
        let lxc = Around::Container("lxc".to_owned());
        assert_eq!(files(&[("proc/1/environ", "container=lxc\0")], None), lxc);
        let nspawn = Around::Container("systemd-nspawn".to_owned());
        assert_eq!(files(&[("run/systemd/container", "systemd-nspawn\n")], None), nspawn);
        assert_eq!(files(&[("proc/1/environ", "container=\0")], None), Around::Nothing);
    }

    /// Each mark alone is enough, and that of its engine says less.
    #[test]
    fn pods_are_recognised() {
        fn files(files: &[(&str, &str)], variable: Option<&str>) -> Around {
            with("pods", files, variable)
        }
        assert_eq!(files(&[], Some("KUBERNETES_SERVICE_HOST")), Around::Pod);
        assert_eq!(files(&[("var/run/secrets/kubernetes.io/serviceaccount/token", "")], None), Around::Pod);
        let group = "0::/kubepods.slice/kubepods-burstable.slice/cri-containerd-0a1f.scope\n";
        assert_eq!(files(&[("proc/self/cgroup", group)], None), Around::Pod);
        assert_eq!(
            files(&[("proc/self/cgroup", "4:memory:/kubepods/pod1/2\n"), (".dockerenv", "")], None),
            Around::Pod
        );
    }

    #[test]
    fn units_are_recognised() {
        let group = |text| with("units", &[("proc/self/cgroup", text)], None);
        let tests = Around::Unit("tests.service".to_owned());
        assert_eq!(group("0::/system.slice/tests.service\n"), tests);
        assert_eq!(group("3:memory:/x\n1:name=systemd:/system.slice/tests.service\n"), tests);
        assert_eq!(group("0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-1.scope\n"), Around::Nothing);
        assert_eq!(group("0::/\n"), Around::Nothing);
    }

    /// What is said fits what was found: an engine is named where it is that one, and nowhere else.
    #[test]
    fn remedies_are_in_the_words_of_what_is_there() {
        let all = [
            (Around::Docker, "docker run"),
            (Around::Podman, "podman run"),
            (Around::Pod, "seccompProfile"),
            (Around::Container("lxc".to_owned()), "(lxc)"),
            (Around::Unit("tests.service".to_owned()), "systemctl edit tests.service"),
            (Around::Nothing, "whoever set it up"),
        ];
        for (around, _) in &all {
            for (other, word) in &all {
                let filter = around.without_filter();
                assert_eq!(filter.contains(word), around == other, "{around:?}: {filter}");
            }
            for named in [true, false] {
                let namespace = around.one_namespace(named);
                assert_eq!(namespace.contains("docker"), *around == Around::Docker, "{around:?}: {namespace}");
                assert_eq!(namespace.contains("podman"), *around == Around::Podman, "{around:?}: {namespace}");
            }
        }
    }
}
