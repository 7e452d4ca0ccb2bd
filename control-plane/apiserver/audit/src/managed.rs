//! Bodies without the record of who manages which field.

use serde_json::Value;

/// Takes `metadata.managedFields` out of an object, of the items of a list, or of the objects in a table's rows.
pub fn without_managed_fields(body: &mut Value) {
    drop_from(body);
    for list in ["items", "rows"] {
        for item in body.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            drop_from(item);
            if let Some(object) = item.get_mut("object") {
                drop_from(object);
            }
        }
    }
}

fn drop_from(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn they_are_taken_out_wherever_objects_stand() {
        let object = json!({"metadata": {"name": "a", "managedFields": [{}]}, "spec": {"managedFields": 1}});
        let plain = json!({"metadata": {"name": "a"}, "spec": {"managedFields": 1}});
        for (mut body, expected) in [
            (object.clone(), plain.clone()),
            (json!({"items": [object]}), json!({"items": [plain]})),
            (json!({"rows": [{"cells": [], "object": object}]}), json!({"rows": [{"cells": [], "object": plain}]})),
            (json!([1, null]), json!([1, null])),
        ] {
            without_managed_fields(&mut body);
            assert_eq!(body, expected);
        }
    }
}
