//! Templates that are sent, and all that is refused.

use super::*;
use serde_json::json;

fn grant(more: Value) -> AwsGrant {
    let mut grant = json!({
        "account": "111111111111", "region": "eu-west-1", "stacks": "orders-test", "operations": "deploy",
    });
    if let (Value::Object(grant), Value::Object(more)) = (&mut grant, more) {
        grant.extend(more);
    }
    serde_json::from_value(grant).unwrap()
}

fn checked(template: &str, grant: &AwsGrant, parameters: &[(&str, &str)]) -> Result<Checked, Refusal> {
    let given = parameters.iter().map(|(key, value)| (*key, Given::Plain(value))).collect();
    check(template, &Subject { grant, stack: "orders-test", parameters: &given })
}

/// A template with one topic whose display name is this.
fn topic(name: &Value) -> String {
    json!({
        "Parameters": {
            "Environment": {"Type": "String", "Default": "test"},
            "Piece": {"Type": "String", "Default": "x"},
        },
        "Mappings": {"Keys": {"billing": {"Path": "/billing/key"}}},
        "Resources": {"T": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": name}}},
    })
    .to_string()
}

fn invalid(result: Result<Checked, Refusal>) -> String {
    match result {
        Err(Refusal::Invalid(text)) => text,
        other => panic!("{other:?}"),
    }
}

fn denied(result: Result<Checked, Refusal>) -> String {
    match result {
        Err(Refusal::Missing(missing)) => missing.reason(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_sent_is_compact_and_in_order() {
    let checked = checked(
        "{ \"Resources\": {\"B\": {\"Type\":\"AWS::SNS::Topic\"}, \"A\": {\"Type\":\"AWS::SNS::Topic\"}} }",
        &grant(json!({})),
        &[],
    );
    assert_eq!(
        checked.unwrap().json,
        r#"{"Resources":{"B":{"Type":"AWS::SNS::Topic"},"A":{"Type":"AWS::SNS::Topic"}}}"#
    );
}

#[test]
fn no_key_is_written_twice() {
    for text in [
        r#"{"Resources":{"T":{"Type":"AWS::SNS::Topic"}},"Resources":{"U":{"Type":"AWS::IAM::User"}}}"#,
        r#"{"Resources":{"T":{"Type":"AWS::SNS::Topic"},"T":{"Type":"AWS::IAM::User"}}}"#,
        r#"{"Resources":{"T":{"Type":"AWS::SNS::Topic","Typ\u0065":"AWS::IAM::User"}}}"#,
    ] {
        assert!(invalid(checked(text, &grant(json!({})), &[])).contains("written twice"), "{text}");
    }
}

#[test]
fn size_depth_and_number_have_limits() {
    let none = grant(json!({}));
    let deep = format!("{}1{}", "[".repeat(120), "]".repeat(120));
    assert!(invalid(checked(&deep, &none, &[])).contains("within each other"));
    assert!(invalid(checked(&" ".repeat(2 << 20), &none, &[])).contains("bytes"));
    assert!(invalid(checked(&topic(&json!("x".repeat(60_000))), &none, &[])).contains("51200"));
    let many: Map<String, Value> = (0..501).map(|n| (format!("T{n}"), json!({"Type": "AWS::SNS::Topic"}))).collect();
    assert!(invalid(checked(&json!({"Resources": many}).to_string(), &none, &[])).contains("500"));
    assert!(invalid(checked(r#"{"Resources":{"T":"a\u0000"}}"#, &none, &[])).contains("NUL"));
    for malformed in ["", "[]", "{}", "{\"Resources\":{}}", "{\"Resources\":[]}", "{\"Resources\":{\"T\":{}}} x"] {
        invalid(checked(malformed, &none, &[]));
    }
}

#[test]
fn a_text_that_multiplies_itself_is_refused() {
    let mut bomb = json!("xxxxxxxxxx");
    for _ in 0..20 {
        bomb = json!({"Fn::Sub": ["${A}${A}${A}${A}${A}${A}${A}${A}", {"A": bomb}]});
    }
    let started = std::time::Instant::now();
    assert!(invalid(checked(&topic(&bomb), &grant(json!({})), &[])).contains("multiplies"));
    assert!(started.elapsed().as_secs() < 5);
}

#[test]
fn restricted_types_are_granted_by_name() {
    for kind in [
        "Custom::Evil",
        "AWS::CloudFormation::CustomResource",
        "AWS::CloudFormation::Stack",
        "AWS::CloudFormation::StackSet",
        "AWS::CloudFormation::Macro",
        "AWS::CloudFormation::TypeActivation",
        "AWS::Organizations::Account",
        "AWS::Serverless::Application",
        "Somebody::Else::Thing",
        "AWS::S3::Bucket::MODULE",
    ] {
        let template = json!({"Resources": {"X": {"Type": kind}}}).to_string();
        let reason = denied(checked(&template, &grant(json!({})), &[]));
        assert!(reason.contains(&format!("grants: {{ aws: {{ resources: [\"{kind}\"] }} }}")), "{reason}");
        checked(&template, &grant(json!({"resources": [kind]})), &[]).unwrap();
    }
    for kind in ["AWS::CloudFormation::WaitCondition", "AWS::S3::Bucket"] {
        checked(&json!({"Resources": {"X": {"Type": kind}}}).to_string(), &grant(json!({})), &[]).unwrap();
    }
    for kind in [json!("S3"), json!(7), json!({"Ref": "Kind"}), json!("AWS::${X}::Y")] {
        invalid(checked(&json!({"Resources": {"X": {"Type": kind}}}).to_string(), &grant(json!({})), &[]));
    }
}

#[test]
fn iam_resources_tell_their_capability() {
    let needs = |resource: Value| {
        checked(&json!({"Resources": {"X": resource}}).to_string(), &grant(json!({})), &[]).unwrap().needs_capability
    };
    assert_eq!(needs(json!({"Type": "AWS::SNS::Topic"})), None);
    assert_eq!(needs(json!({"Type": "AWS::IAM::Role"})), Some("CAPABILITY_IAM"));
    assert_eq!(needs(json!({"Type": "AWS::IAM::Role", "Properties": {"RoleName": "r"}})), Some("CAPABILITY_NAMED_IAM"));
    assert_eq!(needs(json!({"Type": "AWS::IAM::Policy", "Properties": {"PolicyName": "p"}})), Some("CAPABILITY_IAM"));
}

#[test]
fn transforms_are_granted_by_name_wherever_they_stand() {
    let resource = json!({"Type": "AWS::SNS::Topic", "Properties": {"Fn::Transform": {"Name": "Evil"}}});
    for template in [
        json!({"Transform": "Evil", "Resources": {"X": {"Type": "AWS::SNS::Topic"}}}),
        json!({"Transform": ["Evil"], "Resources": {"X": {"Type": "AWS::SNS::Topic"}}}),
        json!({"Transform": {"Name": "Evil"}, "Resources": {"X": {"Type": "AWS::SNS::Topic"}}}),
        json!({"Resources": {"X": resource}}),
    ] {
        let text = template.to_string();
        assert!(denied(checked(&text, &grant(json!({})), &[])).contains("transforms: [\"Evil\"]"), "{text}");
        checked(&text, &grant(json!({"transforms": "Evil"})), &[]).unwrap();
        denied(checked(&text, &grant(json!({"transforms": "Evi*"})), &[]));
    }
    let looped = json!({
        "Transform": "AWS::LanguageExtensions",
        "Resources": {"Fn::ForEach::L": ["V", ["a"], {"X${V}": {"Type": "Custom::Evil"}}]},
    });
    let reason = denied(checked(&looped.to_string(), &grant(json!({"transforms": "AWS::LanguageExtensions"})), &[]));
    assert!(reason.contains("Custom::Evil"), "{reason}");
}

#[test]
fn dynamic_references_are_granted_by_pattern() {
    let granted = grant(json!({"references": ["ssm:/orders/*"]}));
    for name in [
        json!("{{resolve:ssm:/orders/test/key}}"),
        json!("a {{resolve:ssm:/orders/test/key:3}} b"),
        json!({"Fn::Sub": "{{resolve:ssm:/orders/${Environment}/key}}"}),
        json!({"Fn::Join": ["", ["{{resolve:ssm:/orders/", {"Fn::GetAtt": "X.Y"}, "}}"]]}),
        json!("echo '{{.ID}}' and { {resolve} }"),
    ] {
        checked(&topic(&name), &granted, &[]).map_or_else(|refusal| panic!("{name}: {refusal:?}"), drop);
    }
    for (name, element) in [
        (json!("{{resolve:ssm:/billing/key}}"), "ssm:/billing/key"),
        (json!("x{{{resolve:ssm:/billing/key}}"), "ssm:/billing/key"),
        (json!("{{ resolve:ssm-secure:/orders/key:1}}"), "ssm-secure:/orders/key"),
        (json!("{{resolve:secretsmanager:orders:SecretString:p}}"), "secretsmanager:orders:SecretString:p"),
        (json!({"Fn::Sub": "{{resolve:ssm:${Environment}/key}}"}), "ssm:test/key"),
        (json!({"Fn::Sub": ["${A}", {"A": "{{resolve:ssm:/billing/key}}"}]}), "ssm:/billing/key"),
        (json!({"Fn::Sub": ["{{res${A}", {"A": "olve:ssm:/billing/key}}"}]}), "ssm:/billing/key"),
        (json!({"Fn::Join": ["", ["{", "{reso", "lve:ssm:/billing/key}}"]]}), "ssm:/billing/key"),
        (json!({"Fn::Join": ["resolve:ssm", ["{{", ":/billing/key}}"]]}), "ssm:/billing/key"),
        (
            json!({"Fn::Join": ["", ["{{resolve:ssm:", {"Fn::FindInMap": ["Keys", "billing", "Path"]}, "}}"]]}),
            "ssm:/billing/key",
        ),
        (
            json!({"Fn::Join": ["", ["{{resolve:ssm:/b", {"Fn::Select": [1, ["x", "illing/key}}"]]}]]}),
            "ssm:/billing/key",
        ),
        (json!({"Fn::Join": ["", ["{{resolve:ssm:", {"Fn::GetAtt": "X.Y"}, "}}"]]}), "ssm:*"),
        (
            json!({"Fn::If": ["C", {"Fn::Join": ["", [{"Fn::If": ["D", "{{resolve:ssm:/billing/key}}", ""]}]]}, ""]}),
            "ssm:/billing/key",
        ),
    ] {
        let reason = denied(checked(&topic(&name), &granted, &[]));
        assert!(reason.contains(&format!("references: [\"{element}\"]")), "{name}: {reason}");
    }
}

#[test]
fn pieces_of_a_dynamic_reference_are_refused() {
    let granted = grant(json!({"references": ["*"]}));
    for name in [
        json!("{{resolve:ssm:/billing"),
        json!("{{"),
        json!("{{reso"),
        json!("{resolve:ssm:/billing/key}}"),
        json!({"Fn::Sub": "{{${AWS::NoValue}"}),
        json!({"Fn::Join": ["", [{"Fn::GetAtt": "X.Y"}, "resolve:ssm:/billing/key}}"]]}),
        json!({"Fn::Join": ["", [{"Fn::GetAtt": "X.Y"}, "{resolve:ssm:/billing/key}}"]]}),
    ] {
        let text = invalid(checked(&topic(&name), &granted, &[]));
        assert!(text.contains("piece of a dynamic reference"), "{name}: {text}");
    }
}

#[test]
fn a_parameter_does_not_bring_a_reference_in() {
    let none = grant(json!({}));
    let template = topic(&json!({"Fn::Sub": "{{resolve:ssm:/${Piece}/key}}"}));
    assert!(denied(checked(&template, &none, &[("Piece", "billing")])).contains("ssm:/billing/key"));
    let plain = topic(&json!("x"));
    assert!(denied(checked(&plain, &none, &[("Piece", "{{resolve:ssm:/billing}}")])).contains("ssm:/billing"));
    assert!(invalid(checked(&plain, &none, &[("Nowhere", "x")])).contains("no parameter `Nowhere`"));
    let typed = |default: &str| {
        json!({
            "Parameters": {"P": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": default}},
            "Resources": {"T": {"Type": "AWS::SNS::Topic"}},
        })
        .to_string()
    };
    assert!(denied(checked(&typed("/billing/key"), &none, &[])).contains("references: [\"ssm:/billing/key\"]"));
    assert!(denied(checked(&typed("/aws/service/x"), &none, &[("P", "/billing/key")])).contains("ssm:/billing/key"));
    checked(&typed("/aws/service/ami"), &none, &[]).unwrap();
}

#[test]
fn imports_are_granted_by_pattern() {
    let granted = grant(json!({"imports": ["network-*"]}));
    let import = |name: Value| checked(&topic(&json!({"Fn::ImportValue": name})), &granted, &[]);
    import(json!("network-vpc")).unwrap();
    import(json!({"Fn::Sub": "network-${Environment}"})).unwrap();
    assert!(denied(import(json!("billing-db"))).contains("imports: [\"billing-db\"]"));
    assert!(denied(import(json!({"Fn::Sub": "${Piece}-db"}))).contains("imports: [\"x-db\"]"));
    assert!(denied(import(json!({"Fn::GetAtt": "X.Y"}))).contains("imports: [\"*\"]"));
}

#[test]
fn outputs_do_not_show_what_no_echo_hides() {
    for value in [
        json!({"Ref": "Password"}),
        json!({"Fn::Sub": "p=${Password}"}),
        json!({"Fn::Sub": ["${ Password }", {}]}),
        json!({"Fn::Join": ["", ["a", {"Fn::If": ["C", {"Ref": "Password"}, ""]}]]}),
    ] {
        let template = json!({
            "Parameters": {"Password": {"Type": "String", "NoEcho": "true"}},
            "Resources": {"T": {"Type": "AWS::SNS::Topic"}},
            "Outputs": {"Shown": {"Value": value}},
        });
        let text = invalid(checked(&template.to_string(), &grant(json!({})), &[]));
        assert!(text.contains("output `Shown`") && text.contains("`Password`"), "{text}");
    }
}
