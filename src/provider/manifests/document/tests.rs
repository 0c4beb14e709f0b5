//! What each kind of document may say, and what it is told otherwise.

use super::*;

const DISTRIBUTION: &str = "\
apiVersion: tidegate.io/v1alpha1
kind: Distribution
metadata: {name: web}
spec:
  aliases: [web.example.com]
  origins:
    - id: app
      service: {name: web}
      httpPort: 80
  defaultCacheBehavior: {targetOriginId: app}
";

fn only(text: &str) -> Document {
    let mut documents = parse(text.as_bytes());
    assert_eq!(documents.len(), 1, "{documents:?}");
    documents.remove(0)
}

/// `LINE:COLUMN FIELD: MESSAGE` of each flaw.
fn flaws(text: &str) -> Vec<String> {
    let flaws = only(text).object.expect_err("flaws");
    let told = |flaw: Flaw| {
        format!("{}:{} {}: {}", flaw.position.line, flaw.position.column, flaw.field, flaw.message)
    };
    flaws.into_iter().map(told).collect()
}

#[test]
fn a_distribution_is_read_into_the_default_namespace() {
    let document = only(DISTRIBUTION);
    assert_eq!(document.identity, Some((Kind::Distribution, ObjectKey::new("default", "web"))));
    let Ok(Object::Distribution(read)) = document.object else { panic!("{:?}", document.object) };
    assert_eq!(read.metadata.namespace.as_deref(), Some("default"));
    assert_eq!(read.spec.aliases, ["web.example.com"]);
}

#[test]
fn a_misspelt_field_is_told_with_its_place_and_the_nearest_name() {
    assert_eq!(
        flaws(&DISTRIBUTION.replace("httpPort", "htpPort")),
        ["9:7 spec.origins[0].htpPort: unknown field `htpPort`; did you mean `httpPort`?"]
    );
    assert_eq!(
        flaws(&DISTRIBUTION.replace("{name: web}\nspec", "{nam: web}\nspec")),
        [
            "3:12 metadata.nam: unknown field `nam`; did you mean `name`?",
            "3:1 metadata.name: `name` is required here"
        ]
    );
}

#[test]
fn unknown_kinds_and_versions_are_told_what_to_write() {
    assert_eq!(
        flaws(&DISTRIBUTION.replace("kind: Distribution", "kind: Distributon")),
        ["2:1 kind: unknown kind `Distributon`; did you mean `Distribution`?"]
    );
    assert_eq!(
        flaws("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n"),
        [
            "2:1 kind: unknown kind `Deployment`; a folder may hold Distribution, Service, EndpointSlice, Secret, ConfigMap, ReferenceGrant, Challenge"
        ]
    );
    assert_eq!(
        flaws(&DISTRIBUTION.replace("v1alpha1", "v1")),
        ["1:1 apiVersion: unknown version `tidegate.io/v1` of Distribution; write `tidegate.io/v1alpha1`"]
    );
}

#[test]
fn a_bad_document_still_says_which_object_it_is() {
    let document = only(&DISTRIBUTION.replace("httpPort", "htpPort"));
    assert_eq!(document.identity, Some((Kind::Distribution, ObjectKey::new("default", "web"))));
}

#[test]
fn what_only_the_type_knows_is_told_with_its_place() {
    let told = flaws(&DISTRIBUTION.replace("httpPort: 80", "originReadTimeout: soon"));
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("9:7 spec.origins[0].originReadTimeout: "), "{told:?}");
}

#[test]
fn what_the_rules_of_the_api_refuse_is_told_with_its_place() {
    let told = flaws(&DISTRIBUTION.replace("targetOriginId: app", "targetOriginId: ap"));
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("10:26 spec.defaultCacheBehavior.targetOriginId: "), "{told:?}");
    let told =
        flaws(&DISTRIBUTION.replace("  defaultCache", "    - {id: app, service: {name: b}}\n  defaultCache"));
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("10:7 spec.origins[1]: "), "{told:?}");
}

#[test]
fn foreign_kinds_are_as_strict() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  ports:\n    - {port: 80, targetPrt: 8080}\n";
    assert_eq!(
        flaws(service),
        ["6:18 spec.ports[0].targetPrt: unknown field `targetPrt`; did you mean `targetPort`?"]
    );
    assert!(only(&service.replace("targetPrt: 8080", "targetPort: http")).object.is_ok());
    let slice = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: web-1}\naddressType: IPv4\n\
                 endpoints: [{addresses: [127.0.0.1], conditions: {ready: true}}]\nports: [{port: \"80\"}]\n";
    assert_eq!(
        flaws(slice),
        ["6:16 ports[0].port: expected a whole number, found a text; remove the quotes"]
    );
    assert!(only(&slice.replace("\"80\"", "80")).object.is_ok());
    let config_map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ca}\ndta: {ca.crt: a}\n";
    assert_eq!(flaws(config_map), ["4:1 dta: unknown field `dta`; did you mean `data`?"]);
    assert!(only(&config_map.replace("dta", "data")).object.is_ok());
}

#[test]
fn a_secret_may_stand_in_plain_text() {
    let document = only(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: tls}\ntype: kubernetes.io/tls\n\
         data: {tls.key: b2xk, tls.crt: YQ==}\nstringData: {tls.key: new}\n",
    );
    let Ok(Object::Secret(secret)) = document.object else { panic!("{:?}", document.object) };
    let data = secret.data.as_ref().expect("data");
    assert_eq!((data["tls.key"].0.as_slice(), data["tls.crt"].0.as_slice()), (&b"new"[..], &b"a"[..]));
    assert!(secret.string_data.is_none());
}

#[test]
fn a_secret_that_is_not_base64_is_told_without_its_value() {
    let told =
        flaws("apiVersion: v1\nkind: Secret\nmetadata: {name: tls}\ndata: {tls.key: \"hunter2 hunter2\"}\n");
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("4:8 data.tls.key: "), "{told:?}");
    assert!(!told[0].contains("hunter2"), "{told:?}");
}

#[test]
fn one_bad_document_costs_only_itself() {
    let text = format!(
        "{DISTRIBUTION}---\nkind: Nothing\n---\n{}",
        DISTRIBUTION.replace("name: web}\nspec", "name: b}\nspec")
    );
    let read: Vec<_> = parse(text.as_bytes()).into_iter().map(|document| document.object.is_ok()).collect();
    assert_eq!(read, [true, false, true]);
}

#[test]
fn broken_syntax_hides_what_follows() {
    let documents = parse(format!("{DISTRIBUTION}---\na: [\n---\n{DISTRIBUTION}").as_bytes());
    assert!(documents[0].object.is_ok());
    let last = documents.last().expect("documents");
    assert!(last.ends_file);
    assert!(
        last.object.as_ref().is_err_and(|flaws| flaws[0].message.starts_with("broken YAML: ")),
        "{last:?}"
    );
}

#[test]
fn a_reference_grant_is_read_in_both_versions_and_in_no_other() {
    let grant = |version: &str, field: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/{version}\nkind: ReferenceGrant\nmetadata: {{name: a}}\n\
             spec: {{{field}: [], to: [{{group: '', kind: Service}}]}}\n"
        )
    };
    for version in ["v1", "v1beta1"] {
        let document = only(&grant(version, "from"));
        assert!(matches!(document.object, Ok(Object::ReferenceGrant(_))), "{:?}", document.object);
    }
    assert_eq!(
        flaws(&grant("v1alpha2", "from")),
        ["1:1 apiVersion: unknown version `gateway.networking.k8s.io/v1alpha2` of ReferenceGrant; \
          write `gateway.networking.k8s.io/v1`"]
    );
    assert!(flaws(&grant("v1", "fromm"))[0].contains("did you mean `from`?"));
}

#[test]
fn a_document_of_another_api_is_told_from_a_slip() {
    let rows = [
        ("apps/v1", "Deployment", Of::Others),
        ("v1", "Namespace", Of::Others),
        ("v1", "ServiceAccount", Of::Others),
        ("serving.knative.dev/v1", "Service", Of::Others),
        ("cloudfront.services.k8s.aws/v1alpha1", "Distribution", Of::Others),
        ("gateway.networking.k8s.io/v1", "HTTPRoute", Of::Others),
        ("gateway.networking.k8s.io/v1", "ReferenceGrant", Of::Ours),
        ("v1", "Secret", Of::Ours),
        ("v2", "Secret", Of::Ours),
        ("discovery.k8s.io/v1beta1", "EndpointSlice", Of::Ours),
        ("tidegate.io/v1alpha1", "Distribtion", Of::Ours),
    ];
    for (version, kind, of) in rows {
        let document = only(&format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a}}\n"));
        assert_eq!(document.of, of, "{version} {kind}");
    }
    assert_eq!(only("kind: Deployment\n").of, Of::Ours);
}
