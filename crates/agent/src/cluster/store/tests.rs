//! What is seen, and what is forgotten.

use serde_json::{Value, json};

use super::*;

fn group(version: u32, resource: Option<Uuid>) -> DynamicObject {
    let labels = resource.map_or(json!({"team": "web"}), kinds::labels);
    let metadata =
        json!({"name": "team", "uid": "1", "resourceVersion": version.to_string(), "labels": labels});
    let object: Value = json!({"metadata": metadata, "users": ["mia"]});
    serde_json::from_value(object).unwrap()
}

#[test]
fn a_group_belongs_to_the_resource_that_its_labels_name_and_without_them_to_nobody() {
    let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let mut store = Store::default();
    let names = |store: &Store, resource| store.observed(resource, "").groups.into_keys().collect::<Vec<_>>();
    assert_eq!(store.apply(Kind::Group, &group(1, Some(one))), Some(one));
    assert_eq!(store.apply(Kind::Group, &group(1, Some(one))), None);
    assert_eq!(names(&store, one), ["team"]);
    assert_eq!(store.apply(Kind::Group, &group(2, Some(other))), Some(other));
    assert_eq!((names(&store, one).len(), names(&store, other).len()), (0, 1));
    // A watch tells of a group that has lost our labels with the labels that it has now.
    assert_eq!(store.delete(Kind::Group, &group(3, None)), Some(other));
    assert!(names(&store, other).is_empty());
    store.apply(Kind::Group, &group(4, Some(one)));
    assert_eq!(store.apply(Kind::Group, &group(5, None)), Some(one));
    assert!(names(&store, one).is_empty());
}

#[test]
fn identities_at_which_nothing_is_left_to_do_outlive_a_list() {
    let identity = |user: Value| -> DynamicObject {
        let object = json!({"metadata": {"name": "sso:mia"}, "providerUserName": "mia", "user": user});
        serde_json::from_value(object).unwrap()
    };
    let mut store = Store::default();
    let known =
        |store: &Store| store.observed(Uuid::nil(), "").identities.iter().cloned().collect::<Vec<_>>();
    let list = |store: &mut Store, identities: &[DynamicObject]| {
        let mut listing = Listing::default();
        identities.iter().for_each(|identity| store.list(Kind::Identity, identity, &mut listing));
        store.listed(Kind::Identity, &listing);
    };
    list(&mut store, &[identity(json!({"name": "mia", "uid": "1"}))]);
    assert_eq!(known(&store), ["sso:mia"]);
    // Not mapped yet, or to somebody else.
    for user in [Value::Null, json!({"name": "max"})] {
        list(&mut store, &[identity(user)]);
        assert!(known(&store).is_empty());
    }
    store.identity_settled("sso:max");
    list(&mut store, &[]);
    assert_eq!(known(&store), ["sso:max"]);
}

#[test]
fn a_list_counts_when_it_is_complete() {
    let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let namespace = |name: &str, version: u32, resource| -> DynamicObject {
        let labels = kinds::labels(resource);
        let annotations = json!({"openshift.io/display-name": name});
        let metadata = json!({
            "name": name, "uid": name, "resourceVersion": version.to_string(), "labels": labels,
            "annotations": annotations,
        });
        serde_json::from_value(json!({"metadata": metadata})).unwrap()
    };
    let mut store = Store::default();
    let names = |store: &Store, resource| {
        let owned = store.observed(resource, "").owned;
        owned.into_iter().map(|namespace| namespace.name).collect::<Vec<_>>()
    };
    store.apply(Kind::Namespace, &namespace("one", 1, one));
    let seen = namespace("two", 2, other);
    let mut listing = Listing::default();
    store.list(Kind::Namespace, &seen, &mut listing);
    assert_eq!((names(&store, one), names(&store, other)), (vec!["one".to_owned()], vec!["two".to_owned()]));
    assert_eq!(store.listed(Kind::Namespace, &listing), [one, other].into());
    assert!(names(&store, one).is_empty());
    assert_eq!(store.observed(other, "").owned, [kinds::read_namespace(&seen, &BTreeSet::new())]);
    let mut listing = Listing::default();
    store.list(Kind::Namespace, &seen, &mut listing);
    assert!(store.listed(Kind::Namespace, &listing).is_empty(), "nothing has changed");
}
