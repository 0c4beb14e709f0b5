//! The admission policies as text. `cluster::policies` has the API server judge by them.

use super::{of_kind, render};

#[test]
fn there_is_no_policy_unless_one_is_asked_for() -> anyhow::Result<()> {
    assert_eq!(of_kind(&render(&[])?, "ValidatingAdmissionPolicy"), None);
    Ok(())
}

#[test]
fn a_policy_judges_only_what_the_release_serves() -> anyhow::Result<()> {
    for (default, class) in [("true", "outer"), ("false", "")] {
        let objects = render(&[
            r#"className="outer""#,
            &format!("defaultClass={default}"),
            "admission.domains.enabled=true",
            "admission.refuseDeletionOfEnabled=true",
        ])?;
        let policies: Vec<_> =
            objects.iter().filter(|object| object["kind"] == "ValidatingAdmissionPolicy").collect();
        let [domains, deletion] = policies[..] else { anyhow::bail!("{policies:?}") };
        for (policy, object) in [(domains, "object"), (deletion, "oldObject")] {
            let served = format!(r#"{object}.spec.?className.orValue("{class}") == "outer""#);
            assert_eq!(policy["spec"]["matchConditions"][0]["expression"], served);
        }
    }
    Ok(())
}
