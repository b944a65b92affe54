//! Which cluster is meant: by name, by address, by the environment, and never another user's by mistake.

use crate::rig::{Standing, ctl, shell, unique};

#[test]
fn the_environment_names_a_cluster_as_an_option_does() {
    let (one, other) = (Standing::up(&["-n", "3"]), Standing::up(&["-n", "2"]));
    let address = format!("rsm:{}:{}", rustix::process::geteuid().as_raw(), one.name);
    for name in [&one.name, &address] {
        let by_option = ctl(&["nodes", "--cluster", name]).finish();
        let by_environment = ctl(&["nodes"]).env("RSM_CLUSTER", name).finish();
        assert_eq!((by_environment.code(), &*by_environment.stderr), (0, ""));
        assert_eq!(by_environment.text(), by_option.text());
        assert_eq!(by_environment.text().lines().count(), 1 + 3);
        let done = ctl(&["link", "error", "1", "3"]).env("RSM_CLUSTER", name).finish();
        assert_eq!((done.code(), &*done.stderr), (0, ""), "{name}");
        let done = ctl(&["exec", "--node", "3", "--", "true"]).env("RSM_CLUSTER", name).finish();
        assert_eq!((done.code(), &*done.stderr), (0, ""), "{name}");
    }
    for words in [&["nodes"][..], &["link", "error", "1", "2"], &["down"]] {
        for (name, shown) in [("no-such-cluster", "no-such-cluster"), ("", "")] {
            let finished = ctl(words).env("RSM_CLUSTER", name).finish();
            let told = format!("rsm-ctl: RSM_CLUSTER=\"{shown}\": no cluster named \"{shown}\"; running: ");
            assert!(finished.stderr.starts_with(&told), "{words:?}: {}", finished.stderr);
            assert_eq!(finished.code(), 1);
        }
    }
    // An option comes first.
    let finished = ctl(&["nodes", "--cluster", &other.name]).env("RSM_CLUSTER", &one.name).finish();
    assert_eq!(finished.text().lines().count(), 1 + 2);
    let done = ctl(&["down"]).env("RSM_CLUSTER", &one.name).finish();
    assert_eq!((done.code(), done.text()), (0, &*format!("cluster {} has ended\n", one.name)));
    one.expect_gone();
    other.down();
}

/// `rsm-ctl` as a user without privileges: from an open file, as it may lie where that user cannot go.
const NOBODY: &str = "setpriv --reuid=65534 --regid=65534 --clear-groups /proc/self/fd/9";

#[test]
fn root_ends_another_users_cluster_only_by_its_address() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root may end another user's cluster");
        return;
    }
    let script = format!(
        "exec 9<\"$CTL\" && cd / || exit 99
        {NOBODY} -q up -n 2 --name $NAME >/dev/null || exit 98
        $CTL -q up -n 1 --name $NAME >/dev/null || exit 97
        $CTL ls | grep -c \"^$NAME \\|^$ADDRESS \"
        $CTL down $NAME
        $CTL nodes --cluster $NAME --json | grep -c '\"node\"'
        for change in 'down' 'link error 1 2 --cluster' 'node kill 1 --cluster' 'exec --node 1 --cluster'; do
            case $change in exec*) program='-- true';; *) program=;; esac
            $CTL $change $NAME $program && exit 96
        done
        $CTL link error 1 2 --cluster $ADDRESS && $CTL exec --node 1 --cluster $ADDRESS -- echo inside
        $CTL down $ADDRESS"
    );
    let name = unique("two-users");
    let address = format!("rsm:65534:{name}");
    let finished = shell(&script).env("NAME", &name).env("ADDRESS", &address).finish();
    let said = format!("2\ncluster {name} has ended\n2\ninside\ncluster {name} has ended\n");
    assert_eq!((finished.code(), finished.text()), (0, &*said), "{}", finished.stderr);
    let refused = format!(
        "rsm-ctl: you have no cluster named \"{name}\"; one of another user is named by its address: {address}"
    );
    assert_eq!(finished.stderr.lines().collect::<Vec<_>>(), vec![&*refused; 4]);
}
