//! Kubeconfigs, read as kubectl reads them.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use kube::config::{AuthInfo, Cluster};
use serde::Deserialize;
use serde_json::{Value, json};
use serde_saphyr::DuplicateKeyPolicy;

use super::files;

/// Why a kubeconfig cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read, or is a directory.
    #[error("failed to read kubeconfig {path:?}: {source}")]
    Read {
        /// The kubeconfig's path.
        path: PathBuf,
        /// Why the kubeconfig cannot be read.
        source: io::Error,
    },
    /// The file is no YAML, or not a kubeconfig.
    #[error("kubeconfig {path:?}: {why}")]
    Content {
        /// The kubeconfig's path.
        path: PathBuf,
        /// What is wrong with the content.
        why: String,
    },
    /// The context cannot be used: it, its cluster or its server is missing.
    #[error("kubeconfig: {0}")]
    Choice(String),
}

/// One or several merged files. Where two have a cluster, a user or a context of the same name, the first file wins.
#[derive(Debug, Default)]
pub(super) struct Kubeconfig {
    clusters: Vec<Named<Cluster>>,
    users: Vec<Named<AuthInfo>>,
    contexts: Vec<Named<Context>>,
    current_context: Option<String>,
}

/// The cluster and the user that a context names.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) context: String,
    pub(super) cluster: Cluster,
    /// The user; one without credentials if the kubeconfig does not define it.
    pub(super) user: AuthInfo,
    pub(super) user_name: String,
    pub(super) namespace: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Document {
    #[serde(rename = "apiVersion")]
    api_version: Option<String>,
    kind: Option<String>,
    clusters: Option<Vec<Named<Cluster>>>,
    users: Option<Vec<Named<AuthInfo>>>,
    contexts: Option<Vec<Named<Context>>>,
    #[serde(rename = "current-context")]
    current_context: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Named<T> {
    #[serde(default)]
    name: String,
    #[serde(alias = "cluster", alias = "user", alias = "context")]
    value: Option<T>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
struct Context {
    cluster: Option<String>,
    user: Option<String>,
    namespace: Option<String>,
}

impl Kubeconfig {
    /// The kubeconfig at `path`, which must exist.
    ///
    /// # Errors
    /// If the file does not exist, or cannot be read.
    pub(super) fn read(path: &Path) -> Result<Kubeconfig, Error> {
        let mut read = Kubeconfig::default();
        read.add(path)?;
        Ok(read)
    }

    /// The kubeconfig merged from those of `paths` that exist. `None` if none exists.
    ///
    /// # Errors
    /// If one of the files exists and cannot be read.
    pub(super) fn read_all(paths: impl IntoIterator<Item = PathBuf>) -> Result<Option<Kubeconfig>, Error> {
        let (mut read, mut any) = (Kubeconfig::default(), false);
        for path in paths {
            match read.add(&path) {
                Err(Error::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                added => {
                    added?;
                    any = true;
                }
            }
        }
        Ok(any.then_some(read))
    }

    /// The names of the contexts.
    #[must_use]
    pub(super) fn context_names(&self) -> Vec<String> {
        self.contexts.iter().map(|context| context.name.clone()).collect()
    }

    fn add(&mut self, path: &Path) -> Result<(), Error> {
        let bytes = files::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let document = parse(&bytes).map_err(|why| Error::Content { path: path.to_owned(), why })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let mut clusters = document.clusters.unwrap_or_default();
        clusters.iter_mut().filter_map(|it| it.value.as_mut()).for_each(|cluster| cluster.resolve(&folder));
        let mut users = document.users.unwrap_or_default();
        users.iter_mut().filter_map(|it| it.value.as_mut()).for_each(|user| user.resolve(&folder));
        merge(&mut self.clusters, clusters);
        merge(&mut self.users, users);
        merge(&mut self.contexts, document.contexts.unwrap_or_default());
        if self.current_context.is_none() {
            self.current_context = nonempty(document.current_context);
        }
        Ok(())
    }

    /// What the context called `context` says, or if that is `None` the current context. `None` if there is no current
    /// context.
    ///
    /// # Errors
    /// If there is no such context, or it names no cluster that has a server.
    pub(super) fn choose(&self, context: Option<&str>) -> Result<Option<Chosen>, Error> {
        let Some(name) = context.or(self.current_context.as_deref()) else { return Ok(None) };
        let missing = |what: String| Error::Choice(what);
        let context = find(&self.contexts, name).ok_or_else(|| missing(format!("there is no context {name:?}")))?;
        let context = context.clone().unwrap_or_default();
        let Some(cluster) = nonempty(context.cluster) else {
            return Err(missing(format!("context {name:?} names no cluster")));
        };
        let Some(mut found) = find(&self.clusters, &cluster).cloned().flatten() else {
            return Err(missing(format!("there is no cluster {cluster:?}, which context {name:?} names")));
        };
        found.forget_empty();
        if found.server.is_none() {
            return Err(missing(format!("cluster {cluster:?} has no server")));
        }
        let user_name = context.user.unwrap_or_default();
        let mut user = find(&self.users, &user_name).cloned().flatten().unwrap_or_default();
        user.forget_empty();
        Ok(Some(Chosen {
            context: name.to_owned(),
            cluster: found,
            user,
            user_name,
            namespace: nonempty(context.namespace),
        }))
    }
}

fn find<'a, T>(named: &'a [Named<T>], name: &str) -> Option<&'a Option<T>> {
    named.iter().find(|it| it.name == name).map(|it| &it.value)
}

/// Adds those entries of `more` whose names are not in `known` yet.
fn merge<T>(known: &mut Vec<Named<T>>, more: Vec<Named<T>>) {
    for named in more {
        if known.iter().all(|it| it.name != named.name) {
            known.push(named);
        }
    }
}

pub(super) fn nonempty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// Parses a kubeconfig. If the file has several documents, the first counts.
fn parse(bytes: &[u8]) -> Result<Document, String> {
    let text = decode(bytes)?;
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        with_snippet: false,
    };
    let one_line = |error: String| error.lines().next().unwrap_or_default().to_owned();
    // Twice: of two keys of one name the last one counts, in whatever they stand.
    let documents: Vec<Value> =
        serde_saphyr::from_multiple_with_options(&text, options).map_err(|error| one_line(error.to_string()))?;
    let document = documents.into_iter().next().unwrap_or_else(|| json!({}));
    let document: Document = serde_json::from_value(document).map_err(|error| one_line(error.to_string()))?;
    let version = document.api_version.as_deref().filter(|it| !it.is_empty()).unwrap_or("v1");
    let kind = document.kind.as_deref().filter(|it| !it.is_empty()).unwrap_or("Config");
    if (version, kind) != ("v1", "Config") {
        return Err(format!("it is a {kind:?} of {version:?}, and no Config of v1"));
    }
    is_unambiguous("clusters", document.clusters.as_deref())?;
    is_unambiguous("users", document.users.as_deref())?;
    is_unambiguous("contexts", document.contexts.as_deref())?;
    Ok(document)
}

fn is_unambiguous<T>(what: &str, named: Option<&[Named<T>]>) -> Result<(), String> {
    let mut seen = HashSet::new();
    match named.unwrap_or_default().iter().find(|it| !seen.insert(&it.name)) {
        Some(twice) => Err(format!("two of its {what} have the name {:?}", twice.name)),
        None => Ok(()),
    }
}

/// Decodes a file in UTF-8, or in UTF-16 with a byte order mark, as YAML may be written.
fn decode(bytes: &[u8]) -> Result<String, String> {
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let pairs = bytes.chunks_exact(2);
        let whole = pairs.remainder().is_empty();
        let units = pairs.map(|pair| unit([pair[0], pair[1]]));
        let text = char::decode_utf16(units).collect::<Result<String, _>>().ok();
        text.filter(|_| whole).ok_or_else(|| "it is no UTF-16".to_owned())
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => text(rest),
        bytes => text(bytes),
    }
}

fn text(bytes: &[u8]) -> Result<String, String> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| "it is no UTF-8".to_owned())
}

/// A cluster or a user of a kubeconfig, with absolute paths and without empty values.
trait Normalize {
    /// Makes relative paths absolute: they start from `folder`, which holds the file that names them.
    fn resolve(&mut self, folder: &Path);

    /// Removes values that are set to nothing: they count as not set.
    fn forget_empty(&mut self);
}

fn resolve(path: &mut Option<String>, folder: &Path) {
    if let Some(path) = path.as_mut().filter(|path| !path.is_empty())
        && let Some(resolved) = folder.join(&*path).to_str()
    {
        *path = resolved.to_owned();
    }
}

impl Normalize for Cluster {
    fn resolve(&mut self, folder: &Path) {
        resolve(&mut self.certificate_authority, folder);
    }

    fn forget_empty(&mut self) {
        for text in [
            &mut self.server,
            &mut self.certificate_authority,
            &mut self.certificate_authority_data,
            &mut self.proxy_url,
            &mut self.tls_server_name,
        ] {
            *text = nonempty(text.take());
        }
    }
}

impl Normalize for AuthInfo {
    fn resolve(&mut self, folder: &Path) {
        resolve(&mut self.client_certificate, folder);
        resolve(&mut self.client_key, folder);
        resolve(&mut self.token_file, folder);
        // A program without a folder is looked for in PATH.
        if let Some(exec) = &mut self.exec
            && exec.command.as_ref().is_some_and(|command| command.contains('/'))
        {
            resolve(&mut exec.command, folder);
        }
    }

    fn forget_empty(&mut self) {
        use secrecy::ExposeSecret as _;
        for text in [
            &mut self.username,
            &mut self.client_certificate,
            &mut self.client_certificate_data,
            &mut self.client_key,
            &mut self.token_file,
            &mut self.impersonate,
        ] {
            *text = nonempty(text.take());
        }
        for secret in [&mut self.password, &mut self.token, &mut self.client_key_data] {
            *secret = secret.take().filter(|secret| !secret.expose_secret().is_empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const WHOLE: &str = "\
clusters: [{name: c, cluster: {server: https://a, certificate-authority: ca.crt}}]
users: [{name: u, user: {tokenFile: token, exec: {command: bin/login}}}]
contexts: [{name: x, context: {cluster: c, user: u, namespace: shop}}]
current-context: x
";

    proptest! {
        #[test]
        fn no_bytes_are_too_much(bytes in vec(any::<u8>(), 0..512)) {
            drop(parse(&bytes));
            for mark in [&[0xff, 0xfe][..], &[0xfe, 0xff], &[0xef, 0xbb, 0xbf]] {
                drop(parse(&[mark, &bytes].concat()));
            }
        }

        #[test]
        fn no_edit_is_too_much(at in 0..WHOLE.len(), until in 0..WHOLE.len(), text in "[\\[\\]{}:,&*!|>'\"\\-\n a0~]{0,6}") {
            let edited = format!("{}{text}{}", &WHOLE[..at.min(until)], &WHOLE[at.max(until)..]);
            if let Ok(document) = parse(edited.as_bytes()) {
                let read = Kubeconfig {
                    clusters: document.clusters.unwrap_or_default(),
                    users: document.users.unwrap_or_default(),
                    contexts: document.contexts.unwrap_or_default(),
                    current_context: document.current_context,
                };
                drop(read.choose(None));
            }
        }
    }

    #[test]
    fn relative_paths_are_meant_from_the_file_that_names_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        std::fs::write(&path, WHOLE).unwrap();
        let Chosen { cluster, user, namespace, .. } = Kubeconfig::read(&path).unwrap().choose(None).unwrap().unwrap();
        let there = |name: &str| Some(folder.path().join(name).display().to_string());
        assert_eq!((cluster.certificate_authority, user.token_file), (there("ca.crt"), there("token")));
        assert_eq!((user.exec.unwrap().command, namespace), (there("bin/login"), Some("shop".to_owned())));
    }
}
