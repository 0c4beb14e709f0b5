//! The CustomResourceDefinition, as `tidegate crd` prints it and `crds/distributions.yaml` holds it.
//!
//! The schema is derived from the types; here stands what the derive cannot say.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::CustomResourceExt;
use serde_json::json;

use super::Distribution;

/// The CustomResourceDefinition of [`Distribution`].
pub fn crd() -> CustomResourceDefinition {
    let mut crd = Distribution::crd();
    for version in &mut crd.spec.versions {
        version.additional_printer_columns = Some(COLUMNS.iter().map(Column::definition).collect());
        let schema = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        if let Some(schema) = schema {
            drop_nullable(schema);
            set_status_defaults(schema);
        }
    }
    crd
}

/// The CustomResourceDefinition as YAML, which `kubectl apply -f -` takes.
///
/// # Errors
/// Only if the value could not be written as YAML, which a test excludes.
pub fn crd_yaml() -> Result<String, serde_saphyr::SerializeError> {
    serde_saphyr::to_string(&crd())
}

/// The columns of `kubectl get`, after NAME; those with `wide` only where `-o wide` asks for them.
const COLUMNS: [Column; 8] = [
    Column { name: "Hosts", type_: "string", path: ".status.hosts", wide: false },
    Column {
        name: "Ready",
        type_: "string",
        path: r#".status.conditions[?(@.type=="Ready")].status"#,
        wide: false,
    },
    Column {
        name: "Reason",
        type_: "string",
        path: r#".status.conditions[?(@.type=="Ready")].reason"#,
        wide: false,
    },
    Column { name: "Deployed", type_: "string", path: ".status.replicas", wide: false },
    Column { name: "Age", type_: "date", path: ".metadata.creationTimestamp", wide: false },
    Column {
        name: "Address",
        type_: "string",
        path: ".status.loadBalancer.ingress[0]['ip','hostname']",
        wide: true,
    },
    Column { name: "Cert-Expires", type_: "string", path: ".status.certificate.notAfter", wide: true },
    Column {
        name: "Message",
        type_: "string",
        path: r#".status.conditions[?(@.type=="Ready")].message"#,
        wide: true,
    },
];

struct Column {
    name: &'static str,
    type_: &'static str,
    path: &'static str,
    wide: bool,
}

impl Column {
    fn definition(&self) -> CustomResourceColumnDefinition {
        CustomResourceColumnDefinition {
            name: self.name.to_owned(),
            type_: self.type_.to_owned(),
            json_path: self.path.to_owned(),
            priority: self.wide.then_some(1),
            ..CustomResourceColumnDefinition::default()
        }
    }
}

/// Takes `nullable` off the schema and all within.
///
/// The API server then drops an explicit null before it validates, as it does with its own kinds, so that a rule
/// sees a field either set or absent.
fn drop_nullable(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.properties.iter_mut().flat_map(|properties| properties.values_mut()).for_each(drop_nullable);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        drop_nullable(items);
    }
}

/// Gives a new object the condition `Ready=Unknown`, so that who waits for it does not take its absence for success.
///
/// It stands on the status and on its conditions: the API server fills in a default only where the parent is there.
fn set_status_defaults(schema: &mut JSONSchemaProps) {
    let pending = json!([{
        "type": "Ready",
        "status": "Unknown",
        "reason": "Pending",
        "message": "waiting for the controller",
        "lastTransitionTime": "1970-01-01T00:00:00Z",
    }]);
    let Some(status) = property(schema, "status") else { return };
    status.default = Some(JSON(json!({"conditions": pending})));
    let Some(conditions) = property(status, "conditions") else { return };
    conditions.default = Some(JSON(pending));
}

fn property<'a>(schema: &'a mut JSONSchemaProps, name: &str) -> Option<&'a mut JSONSchemaProps> {
    schema.properties.as_mut()?.get_mut(name)
}
