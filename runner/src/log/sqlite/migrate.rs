//! What older versions have stored, brought into the shape of today.

use super::Fault;
use super::schema::{event_checksum, run_checksum};
use crate::event::EventKind;
use crate::log::plan_digest;
use rusqlite::{Connection, params};
use serde_json::{Map, Value, json};

/// Copies `old_runs` and `old_events` of the first schema into today's tables.
///
/// What is damaged is copied as it is: it is found, and named, when it is read.
pub(super) fn from_1(connection: &Connection) -> Result<(), Fault> {
    let mut runs = connection.prepare("SELECT number, id, created_at, pipeline, plan FROM old_runs ORDER BY number")?;
    let mut rows = runs.query([])?;
    while let Some(row) = rows.next()? {
        let (number, id, created_at): (i64, String, u64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let (pipeline, mut plan): (String, Vec<u8>) = (row.get(3)?, row.get(4)?);
        let old_digest = plan_digest(&plan);
        if let Ok(mut value) = serde_json::from_slice(&plan) {
            plan_from_1(&mut value);
            plan = serde_json::to_vec(&value)?;
        }
        connection.execute(
            "INSERT INTO runs (number, id, created_at, pipeline, checksum, plan) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![number, id, created_at, pipeline, run_checksum(number, &id, created_at, &pipeline), plan],
        )?;
        let mut events =
            connection.prepare_cached("SELECT sequence, at, kind FROM old_events WHERE run = ?1 ORDER BY sequence")?;
        let mut insert = connection
            .prepare_cached("INSERT INTO events (run, sequence, at, kind, checksum) VALUES (?1, ?2, ?3, ?4, ?5)")?;
        let mut events = events.query([number])?;
        let mut last = 0;
        while let Some(row) = events.next()? {
            let (sequence, at, mut kind): (u64, u64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            // The first event vouches for the plan, and goes on to do so if it did.
            let created = EventKind::RunCreated { plan: old_digest.clone() };
            if sequence == 1 && kind == serde_json::to_string(&created)? {
                kind = serde_json::to_string(&EventKind::RunCreated { plan: plan_digest(&plan) })?;
            }
            insert.execute(params![number, sequence, at, kind, event_checksum(&id, sequence, at, &kind)])?;
            last = sequence;
        }
        if last == 0 {
            // Its process was lost before it began.
            connection.execute("DELETE FROM runs WHERE number = ?1", [number])?;
            continue;
        }
        connection.execute("INSERT INTO tips (run, sequence) VALUES (?1, ?2)", params![number, last])?;
    }
    Ok(())
}

/// A plan as the first schema may hold it: of a run made by any version that wrote that schema.
fn plan_from_1(plan: &mut Value) {
    if let Some(context) = plan.get_mut("context").and_then(Value::as_object_mut) {
        context_from_1(context);
    }
    let jobs = plan.get_mut("jobs").and_then(Value::as_array_mut);
    for job in jobs.into_iter().flatten() {
        let Some(step) = job.pointer_mut("/kind/step").and_then(Value::as_object_mut) else { continue };
        if let Some(Value::Array(rules)) = step.get("soft_fail") {
            step["soft_fail"] = soft_fail_from_1(rules);
        }
        if let Some(Value::Array(rules)) = step.get("retry") {
            step["retry"] = retry_from_1(rules);
        }
    }
}

/// Author and pull request were texts side by side; the builds this one comes from were objects.
fn context_from_1(context: &mut Map<String, Value>) {
    if let Some(Value::String(name)) = context.get("author") {
        let author = json!({ "name": name, "email": context.get("author_email").unwrap_or(&json!("")) });
        context.insert("author".to_owned(), author);
        context.shift_remove("author_email");
    }
    if let Some(Value::String(number)) = context.get("pull_request") {
        let base_branch = context.get("pull_request_base_branch").cloned().unwrap_or_else(|| json!(""));
        let pull_request = (!number.is_empty()).then(|| json!({ "number": number, "base_branch": base_branch }));
        match pull_request {
            Some(pull_request) => drop(context.insert("pull_request".to_owned(), pull_request)),
            None => drop(context.shift_remove("pull_request")),
        }
        context.shift_remove("pull_request_base_branch");
    }
    for (from, fields) in [
        ("triggered_from", &[("id", "build_id"), ("number", "build_number"), ("pipeline_slug", "pipeline_slug")][..]),
        ("rebuilt_from", &[("id", "build_id"), ("number", "build_number")]),
    ] {
        let Some(Value::Object(build)) = context.shift_remove(from) else { continue };
        for (field, name) in fields {
            if let Some(value) = build.get(*field) {
                context.insert(format!("{from}_{name}"), value.clone());
            }
        }
    }
}

/// A rule without an exit status was for all of them.
fn soft_fail_from_1(rules: &[Value]) -> Value {
    let codes: Option<Vec<Value>> =
        rules.iter().map(|rule| Some(json!({ "code": rule.get("exit_status")? }))).collect();
    codes.map_or_else(|| json!("always"), |codes| json!({ "on": codes }))
}

fn retry_from_1(rules: &[Value]) -> Value {
    let automatic: Vec<Value> = rules
        .iter()
        .map(|rule| {
            let codes = rule.get("exit_status").and_then(Value::as_array);
            let exit_status = codes.map_or_else(
                || json!(["any"]),
                |codes| codes.iter().map(|code| json!({ "code": code })).collect::<Value>(),
            );
            json!({ "exit_status": exit_status, "signal": "any", "signal_reason": "any", "limit": rule.get("limit") })
        })
        .collect();
    json!({ "automatic": automatic, "manual": { "allowed": true, "permit_on_passed": false } })
}
