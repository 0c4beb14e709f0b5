//! The CustomResourceDefinition that is kept in the repository, and the chart's copy of it.

use std::path::Path;
use std::{env, fs};

use tidegate::api::crd_yaml;

#[test]
fn the_kept_definitions_are_the_generated_one() {
    let generated = crd_yaml().unwrap();
    for kept in ["crds/distributions.yaml", "charts/tidegate/files/distributions.yaml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(kept);
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, &generated).unwrap();
        }
        let kept_text = fs::read_to_string(&path).unwrap_or_default();
        assert!(kept_text == generated, "{kept} has drifted; run `make crd`");
    }
}
