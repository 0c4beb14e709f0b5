//! The CustomResourceDefinition that is kept in the repository.

use std::{env, fs};

use tidegate::api::crd_yaml;

const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/crds/distributions.yaml");

#[test]
fn the_kept_crd_is_the_generated_one() {
    let generated = crd_yaml().unwrap();
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(KEPT, &generated).unwrap();
    }
    let kept = fs::read_to_string(KEPT).unwrap_or_default();
    assert!(kept == generated, "crds/distributions.yaml has drifted; run the tests with UPDATE_GOLDEN=1");
}
