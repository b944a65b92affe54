//! Who takes part, and how each is built and started.

use rsm_perf::pair::Program;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A pair of programs that may take part.
pub struct Peer {
    pub name: &'static str,
    made: Made,
}

enum Made {
    /// A party of this program.
    Here,
    /// The C program over librsm.
    Librsm,
    /// The C program over OpenSHMEM, with librsm_shmem; its PEs are the nodes.
    RsmShmem,
    /// Built by a compiler wrapper, started by a launcher.
    Launched { source: &'static str, compiler: &'static str, launcher: &'static [&'static str] },
    /// Built with a library that pkg-config knows, started twice.
    Library { source: &'static str, package: &'static str },
}

const OPEN_MPI: &[&str] =
    &["mpirun.openmpi", "--allow-run-as-root", "--bind-to", "none", "--oversubscribe", "-q", "-n", "2"];
const SHMEM: &[&str] = &["oshrun", "--allow-run-as-root", "--bind-to", "none", "--oversubscribe", "-q", "-n", "2"];

/// All of them, in the order of the table.
pub const PEERS: &[Peer] = &[
    Peer { name: "rsm", made: Made::Here },
    Peer { name: "rsm-c", made: Made::Librsm },
    Peer { name: "rsm-shmem", made: Made::RsmShmem },
    Peer { name: "iceoryx2", made: Made::Here },
    Peer { name: "raw_sync", made: Made::Here },
    Peer { name: "unix-socket", made: Made::Here },
    Peer { name: "pipe", made: Made::Here },
    Peer { name: "openmpi", made: Made::Launched { source: "mpi.c", compiler: "mpicc.openmpi", launcher: OPEN_MPI } },
    Peer {
        name: "mpich",
        made: Made::Launched { source: "mpi.c", compiler: "mpicc.mpich", launcher: &["mpiexec.mpich", "-n", "2"] },
    },
    Peer { name: "openshmem", made: Made::Launched { source: "shmem.c", compiler: "oshcc", launcher: SHMEM } },
    Peer { name: "ucx", made: Made::Library { source: "ucx.c", package: "ucx" } },
    Peer { name: "libfabric", made: Made::Library { source: "fabric.c", package: "libfabric" } },
];

/// Where this program's sources are.
fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The project's root.
pub fn root() -> PathBuf {
    home().join("../..").canonicalize().unwrap_or_else(|_| home().join("../.."))
}

fn built(name: &str) -> PathBuf {
    home().join("target/peers").join(name)
}

impl Peer {
    /// Builds it if need be, and says how it is started; or why it cannot take part.
    pub fn prepare(&self, environment: [Vec<(String, String)>; 2]) -> Result<Program, String> {
        let program =
            |command: Vec<OsString>, launcher| Program { command, launcher, environment: environment.clone() };
        match &self.made {
            Made::Here => {
                let this = std::env::current_exe().map_err(|e| e.to_string())?;
                Ok(program(vec![this.into(), "--party".into(), self.name.into()], false))
            }
            Made::Librsm => {
                let flags = installed("rsm", &[])?;
                let source = root().join("benches/c/rsm_perf.c");
                compile("cc", &source, &built(self.name), &flags)?;
                Ok(program(vec![built(self.name).into()], false))
            }
            Made::RsmShmem => {
                let mut flags = installed("rsm-shmem", &["--shmem"])?;
                flags.push(format!("-DPEER=\"{}\"", self.name));
                compile("cc", &home().join("c/shmem.c"), &built(self.name), &flags)?;
                Ok(program(vec![built(self.name).into()], false))
            }
            Made::Launched { source, compiler, launcher } => {
                compile(compiler, &home().join("c").join(source), &built(self.name), &[])?;
                let mut command: Vec<OsString> = launcher.iter().map(OsString::from).collect();
                find(launcher[0])?;
                command.push(built(self.name).into());
                Ok(program(command, true))
            }
            Made::Library { source, package } => {
                let flags = pkg_config(package, None)?;
                compile("cc", &home().join("c").join(source), &built(self.name), &flags)?;
                Ok(program(vec![built(self.name).into()], false))
            }
        }
    }

    /// Whether it is a node of a cluster.
    pub fn is_rsm(&self) -> bool {
        self.name.starts_with("rsm")
    }
}

/// Installs this project's libraries for C, and gives what a compiler has to be told for one of them.
fn installed(package: &str, options: &[&str]) -> Result<Vec<String>, String> {
    let prefix = home().join("target/prefix");
    let install = root().join("rsm-capi/install.sh");
    run(Command::new("sh").arg(install).arg("--prefix").arg(&prefix).args(options))?;
    let libraries = prefix.join("lib");
    let mut flags = pkg_config(package, Some(&libraries.join("pkgconfig")))?;
    flags.push(format!("-Wl,-rpath,{}", libraries.display()));
    Ok(flags)
}

fn find(program: &str) -> Result<(), String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join(program).is_file()) {
        return Ok(());
    }
    Err(format!("{program} is not installed"))
}

fn pkg_config(package: &str, path: Option<&Path>) -> Result<Vec<String>, String> {
    find("pkg-config")?;
    let mut command = Command::new("pkg-config");
    if let Some(path) = path {
        command.env("PKG_CONFIG_PATH", path);
    }
    let output = command.args(["--cflags", "--libs", package]).output().map_err(|e| e.to_string())?;
    if !output.status.success() {
        return Err(format!("the development package of {package} is not installed (pkg-config does not know it)"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect())
}

/// Compiles one file, unless that was done since the sources changed.
fn compile(compiler: &str, source: &Path, to: &Path, flags: &[String]) -> Result<(), String> {
    find(compiler)?;
    let headers = [root().join("benches/c/pair.h"), home().join("c/onesided.h")];
    let changed = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
    if let Some(made) = changed(to)
        && headers
            .iter()
            .map(PathBuf::as_path)
            .chain([source])
            .all(|path| changed(path).is_some_and(|when| when < made))
    {
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder).map_err(|e| e.to_string())?;
    }
    run(Command::new(compiler).args(["-O2", "-o"]).arg(to).arg(source).args(flags))
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|e| format!("{:?}: {e}", command.get_program()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = said.lines().find(|line| line.contains("error")).or(said.lines().last()).unwrap_or_default();
    Err(format!("{:?} failed: {last}", command.get_program()))
}
