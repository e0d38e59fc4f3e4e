//! Objects as an attacker would write them: a valid one of each kind, with one field at one extreme. Which fields there are is
//! read from the OpenAPI document of the API server, which also decides which of them it takes.

use anyhow::{Context, Result};
use futures::StreamExt as _;
use futures::stream;
use k8s_openapi::NamespaceResourceScope;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, PostParams};
use kube::{Api, Client, Resource};
use serde_json::{Map, Value, json};

/// Later than most libraries can tell; the API server takes it.
pub const FAR: &str = "9999-12-31T23:59:59Z";

/// How deep fields are looked for: what is deeper is of no kind that anybody here reads.
const MAX_DEPTH: usize = 7;

/// How many requests are under way at a time.
const CONCURRENCY: usize = 16;

/// A long text, in bytes: two of them are more than etcd takes.
const LONG: usize = 1_000_000;

/// A text that is longer than any that is right, in bytes.
const QUITE_LONG: usize = 10_000;

/// Down to this depth of an object texts are long: deeper there are hundreds of fields, and minutes go into sending them.
const LONG_DEPTH: usize = 3;

/// A field of a kind, and what it may hold.
#[derive(Debug, Clone)]
pub struct Field {
    /// From the object down; `0` is the first item of a list.
    pub path: Vec<String>,
    type_: String,
    format: String,
}

/// What an attack has come to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Objects that the API server was asked to store.
    pub tried: usize,
    /// Those that it has stored.
    pub stored: usize,
}

/// A kind of object, and a valid one of it.
#[derive(Debug, Clone)]
pub struct Target {
    resource: ApiResource,
    /// To be changed in one place.
    valid: Value,
    fields: Vec<Field>,
}

impl Target {
    /// Of which `valid` is one, with the fields that the API server's document gives it.
    ///
    /// # Errors
    /// When the document cannot be read, or does not know the kind.
    pub async fn new<K>(client: &Client, valid: Value) -> Result<Target>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        let (group, version, kind) = (K::group(&()), K::version(&()), K::kind(&()));
        let path = if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
        let request = http_request(&format!("/openapi/v3/{path}"))?;
        let document: Value = client.request(request).await?;
        let schemas = document.pointer("/components/schemas").and_then(Value::as_object).context("no schemas")?;
        let is_kind = |schema: &&Value| {
            let kinds = schema["x-kubernetes-group-version-kind"].as_array();
            kinds.is_some_and(|kinds| kinds.contains(&json!({"group": group, "version": version, "kind": kind})))
        };
        let schema = schemas.values().find(is_kind).with_context(|| format!("no schema of {kind}"))?;
        let mut fields = Vec::new();
        collect(schemas, schema, &mut Vec::new(), &mut fields);
        let plural = K::plural(&());
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(&group, &version, &kind), &plural);
        let mut valid = valid;
        valid["apiVersion"] = json!(resource.api_version);
        valid["kind"] = json!(resource.kind);
        Ok(Target { resource, valid, fields })
    }

    /// The fields that there are.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Merge patches that set each field to each of its extremes, of the fields that `wanted` picks by their paths.
    pub fn patches(&self, wanted: impl Fn(&str) -> bool) -> Vec<Value> {
        let fields = self.fields.iter().filter(|field| wanted(&field.path.join(".")));
        let patches = fields.flat_map(|field| {
            let at_its_place = |extreme| with(&json!({}), &field.path, extreme);
            extremes(field).into_iter().map(at_its_place).collect::<Vec<_>>()
        });
        patches.collect()
    }

    /// Stores an object for each field and each extreme, where the API server takes it; of the fields no more than
    /// `most`, from all over the object.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn attack(&self, client: &Client, namespace: &str, most: usize) -> Result<Tally> {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &self.resource);
        let step = self.fields.len().div_ceil(most).max(1);
        let objects = self.fields.iter().step_by(step).flat_map(|field| {
            extremes(field).into_iter().map(|extreme| (field.path.clone(), with(&self.valid, &field.path, extreme)))
        });
        let stores = objects.enumerate().map(|(number, (path, mut object))| {
            let api = api.clone();
            async move {
                if path != ["metadata", "name"]
                    && let Some(metadata) = object["metadata"].as_object_mut()
                {
                    metadata.insert("name".to_owned(), json!(format!("odd-{number}")));
                }
                if path.first().is_some_and(|first| first == "status") {
                    return store_status(&api, object).await;
                }
                store(&api, &object).await
            }
        });
        let mut stores = stream::iter(stores).buffer_unordered(CONCURRENCY);
        let mut tally = Tally::default();
        while let Some(stored) = stores.next().await {
            tally.tried += 1;
            tally.stored += usize::from(stored?);
        }
        Ok(tally)
    }
}

/// Each extreme of a field that has that type and format.
#[must_use]
pub fn extremes(field: &Field) -> Vec<Value> {
    let wrong = [Value::Null, json!({"a": [1]}), json!(["a"]), json!(7), json!("7")];
    let right = match (field.type_.as_str(), field.format.as_str()) {
        ("string", "date-time") => vec![
            json!(FAR),
            json!("9999-12-31T23:59:59.999999Z"),
            json!("0001-01-01T00:00:00Z"),
            json!("0000-01-01T00:00:00.000000Z"),
        ],
        ("string", _) => vec![
            json!(""),
            json!("\u{1}\u{7f}\u{9b}\u{ffff}"),
            json!("\u{202e}\u{200b}\u{2066}"),
            json!("x".repeat(if field.path.len() <= LONG_DEPTH { LONG } else { QUITE_LONG })),
        ],
        ("integer", _) => vec![json!(i64::MAX), json!(i64::MIN), json!(i32::MAX), json!(-1), json!(0), json!(0.5)],
        ("boolean", _) => vec![json!(true), json!(false)],
        ("map", _) => vec![json!({"a": "x".repeat(LONG)}), json!({"\u{202e}": "\u{7f}"}), many()],
        ("object", _) => vec![json!({})],
        ("array", _) => vec![json!([]), json!([null]), json!([{}])],
        _ => vec![deep()],
    };
    right.into_iter().chain(wrong).collect()
}

/// A map with more entries than anybody needs.
fn many() -> Value {
    Value::Object((0..20_000).map(|number| (format!("label-{number}"), json!("x".repeat(30)))).collect())
}

/// Deeper than a parser that calls itself goes.
fn deep() -> Value {
    let mut value = json!({});
    for _ in 0..100 {
        value = json!({"f:a": value});
    }
    value
}

fn http_request(path: &str) -> Result<hyper::Request<Vec<u8>>> {
    Ok(hyper::Request::get(path).body(Vec::new())?)
}

fn collect(schemas: &Map<String, Value>, schema: &Value, path: &mut Vec<String>, fields: &mut Vec<Field>) {
    let schema = resolved(schemas, schema);
    let text = |name: &str| schema.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let type_ = match schema.get("additionalProperties") {
        Some(_) => "map".to_owned(),
        None => text("type"),
    };
    if !path.is_empty() {
        fields.push(Field { path: path.clone(), type_, format: text("format") });
    }
    if path.len() >= MAX_DEPTH {
        return;
    }
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        if path.is_empty() && ["apiVersion", "kind"].contains(&name.as_str()) {
            continue;
        }
        path.push(name.clone());
        collect(schemas, property, path, fields);
        path.pop();
    }
    if let Some(items) = schema.get("items") {
        path.push("0".to_owned());
        collect(schemas, items, path, fields);
        path.pop();
    }
}

/// What a schema refers to, by itself or as the only part of it.
fn resolved<'a>(schemas: &'a Map<String, Value>, schema: &'a Value) -> &'a Value {
    let reference = schema.get("$ref").or_else(|| schema.pointer("/allOf/0/$ref")).and_then(Value::as_str);
    let name = reference.and_then(|reference| reference.rsplit('/').next());
    name.and_then(|name| schemas.get(name)).unwrap_or(schema)
}

/// `object` with `value` at `path`; what is missing on the way there is made.
fn with(object: &Value, path: &[String], value: Value) -> Value {
    let mut object = object.clone();
    let mut place = &mut object;
    for name in path {
        place = if name == "0" {
            if !place.is_array() {
                *place = json!([]);
            }
            let Some(items) = place.as_array_mut() else { return object };
            if items.is_empty() {
                items.push(json!({}));
            }
            &mut items[0]
        } else {
            if !place.is_object() {
                *place = json!({});
            }
            &mut place[name.as_str()]
        };
    }
    *place = value;
    object
}

/// Whether the API server has stored it.
async fn store(api: &Api<DynamicObject>, object: &Value) -> Result<bool> {
    // Of the wrong kind already where a client library would have refused it.
    let Ok(object) = serde_json::to_vec(object) else { return Ok(false) };
    let request = kube::core::Request::new(api.resource_url()).create(&PostParams::default(), object)?;
    answered(api.clone().into_client().request::<Value>(request).await)
}

/// By way of the object without its status, which is written by itself.
async fn store_status(api: &Api<DynamicObject>, mut object: Value) -> Result<bool> {
    let status = object["status"].take();
    if !store(api, &object).await? {
        return Ok(false);
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let patch = serde_json::to_vec(&json!({"status": status}))?;
    let url = format!("{}/{name}/status", api.resource_url());
    let request = hyper::Request::patch(url).header("content-type", "application/merge-patch+json").body(patch)?;
    answered(api.clone().into_client().request::<Value>(request).await)
}

/// Whatever the API server refuses is no attack.
fn answered(answer: kube::Result<Value>) -> Result<bool> {
    match answer {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
