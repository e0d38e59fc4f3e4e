//! Programs in other languages, and the packages that they need: those come from the language's own registry when they are
//! first needed, and are kept in the cache.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::task::spawn_blocking;

use elector_xtask::gobuild::{cache, fingerprint, lock, say};

/// How a program is run.
#[derive(Debug, Clone)]
pub struct Program {
    /// What runs it.
    pub interpreter: PathBuf,
    /// The first arguments: its source.
    pub arguments: Vec<String>,
    /// Where its packages are.
    pub environment: Vec<(String, String)>,
}

/// A language, and what installs packages of it.
#[derive(Debug)]
struct Language {
    /// What names the packages, beside the source.
    manifests: &'static [&'static str],
    /// What has to be there, and the package of Debian that has it.
    needs: &'static [(&'static str, &'static str)],
    /// Whose version decides what is installed.
    version: &'static [&'static str],
    /// Run in the folder where the packages go, which has the manifests.
    install: &'static [&'static str],
    interpreter: &'static str,
    /// Small: tests run beside each other.
    arguments: &'static [&'static str],
    variable: &'static str,
    /// What of that folder the variable names.
    path: &'static str,
}

const LANGUAGES: [Language; 3] = [
    Language {
        manifests: &["package-lock.json", "package.json"],
        needs: &[("node", "nodejs"), ("npm", "npm")],
        version: &["node", "--version"],
        install: &["npm", "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"],
        interpreter: "node",
        arguments: &["main.cjs"],
        variable: "NODE_PATH",
        path: "node_modules",
    },
    Language {
        manifests: &["requirements.txt"],
        needs: &[("python3", "python3"), ("pip3", "python3-pip")],
        version: &["python3", "--version"],
        install: &[
            "python3",
            "-m",
            "pip",
            "install",
            "--quiet",
            "--require-hashes",
            "-t",
            ".",
            "-r",
            "requirements.txt",
        ],
        interpreter: "python3",
        arguments: &["main.py"],
        variable: "PYTHONPATH",
        path: "",
    },
    Language {
        manifests: &["pom.xml"],
        needs: &[("javac", "default-jdk-headless"), ("mvn", "maven")],
        version: &["java", "-version"],
        install: &[
            "mvn",
            "--quiet",
            "--batch-mode",
            "--strict-checksums",
            "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies",
            "-DincludeScope=runtime",
            "-DoutputDirectory=.",
        ],
        interpreter: "java",
        arguments: &["-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "Main.java"],
        variable: "CLASSPATH",
        path: "*",
    },
];

/// What runs the program in `folder`: `main.cjs` with a `package-lock.json`, `main.py` with a `requirements.txt`, or `Main.java`
/// with a `pom.xml`. Its packages are there afterwards, which may take a minute the first time.
///
/// # Errors
/// When something is missing of what the language needs, and when the packages can't be installed.
pub async fn program(folder: PathBuf) -> Result<Program> {
    spawn_blocking(move || {
        let is_of = |language: &&Language| language.manifests.iter().all(|name| folder.join(name).is_file());
        let language = LANGUAGES.iter().find(is_of).with_context(|| format!("no program: {}", folder.display()))?;
        let packages = language.installed(&folder)?;
        let text = |path: PathBuf| path.into_os_string().into_string().ok().context("a path that is no UTF-8");
        let (source, options) = language.arguments.split_last().context("a program has a source")?;
        let mut arguments: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        arguments.push(text(folder.join(source))?);
        let environment = vec![(language.variable.to_owned(), text(packages.join(language.path))?)];
        Ok(Program { interpreter: language.interpreter.into(), arguments, environment })
    })
    .await?
}

impl Language {
    fn installed(&self, source: &Path) -> Result<PathBuf> {
        for (program, package) in self.needs {
            ensure!(is_in_path(program), "there is no `{program}` in PATH: install Debian's package {package}");
        }
        let [version, arguments @ ..] = self.version else { bail!("a language has a version") };
        let version = Command::new(version).args(arguments).output()?;
        let manifests: Vec<PathBuf> = self.manifests.iter().map(|name| source.join(name)).collect();
        let key = fingerprint(&manifests, Some(&[version.stdout, version.stderr].concat()))?;
        let name = source.file_name().context("a folder without a name")?.to_string_lossy();
        let folder = cache()?.join("packages");
        let packages = folder.join(format!("{name}-{key:016x}"));
        if packages.is_dir() {
            return Ok(packages);
        }
        fs::create_dir_all(&folder)?;
        let _lock = lock(&folder)?;
        if !packages.is_dir() {
            let partial = folder.join(".partial");
            if partial.exists() {
                fs::remove_dir_all(&partial)?;
            }
            fs::create_dir(&partial)?;
            for (manifest, name) in manifests.iter().zip(self.manifests) {
                fs::copy(manifest, partial.join(name))?;
            }
            say(&format!("installing packages of {name} in {}", folder.display()));
            let [program, arguments @ ..] = self.install else { bail!("a language has packages") };
            let mut install = Command::new(program);
            let status = install.args(arguments).current_dir(&partial).stdin(Stdio::null()).stdout(Stdio::null());
            let status = status.status().with_context(|| format!("failed to run {program}"))?;
            ensure!(status.success(), "{program} ended with {status}; its messages are above");
            fs::rename(&partial, &packages)?;
        }
        Ok(packages)
    }
}

/// Whether somebody could run it by its name.
pub fn is_in_path(program: &str) -> bool {
    env::split_paths(&env::var_os("PATH").unwrap_or_default()).any(|folder| folder.join(program).is_file())
}
