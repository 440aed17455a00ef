//! Checks of Waldur: user, offering, components, permissions, orders.

use jiff::{SignedDuration, Timestamp};

use super::{connection, count, failed, few, span, token};
use crate::diagnose::facts::{Answer, Configured, Facts, WaldurFacts};
use crate::diagnose::report::Check;
use crate::waldur::dto::Order;
use crate::waldur::inspect::{Me, OfferingAnswer};

/// An order that is open for longer than this waits for something.
const LONG: SignedDuration = SignedDuration::from_hours(1);

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    let WaldurFacts { connection, .. } = &facts.waldur;
    let mut checks = connection::checks(connection, "`waldur_api_url`");
    checks.extend(connection::tls(connection, facts.now, "`verify_ssl`", "`waldur_api_url`"));
    checks.extend(connection::clock(connection.skew));
    checks.push(token(&facts.waldur.token, facts.now));
    match &facts.waldur.me {
        Some(Ok(me)) => checks.extend(of_user(facts, me)),
        Some(Err(error)) => {
            checks.push(failed("user", error));
            checks.push(Check::not_tried("offering", "components, permissions and orders need a user"));
        }
        None => {}
    }
    checks
}

fn of_user(facts: &Facts, me: &Me) -> Vec<Check> {
    let waldur = &facts.waldur;
    let staff = if me.is_staff { ", who is staff" } else { "" };
    let mut checks = vec![Check::good("user", format!("`{}`{staff}", me.username)), version(waldur)];
    match &waldur.offering {
        Some(Ok(offering)) => {
            checks.push(state(offering));
            checks.extend(components(&facts.configured, offering));
            checks.push(permissions(me, offering, facts.now));
        }
        Some(Err(error)) => {
            let step = "is `waldur_offering_uuid` right, and has the user of this token a role in the offering or its \
                        provider?";
            checks.push(Check::failed("offering", error.to_string(), step));
        }
        None => {}
    }
    checks.extend(orders(&waldur.orders, facts.now));
    checks
}

fn version(waldur: &WaldurFacts) -> Check {
    let generation = match &waldur.is_legacy {
        Some(Ok(true)) => "a server of 2024: without agent registration and events",
        Some(Ok(false)) => "a server that knows agents",
        Some(Err(error)) => return failed("version", error),
        None => "unknown",
    };
    match &waldur.version {
        Some(Ok(version)) => Check::good("version", format!("{version}, {generation}")),
        Some(Err(error)) => failed("version", error),
        None => Check::good("version", format!("{generation} (it tells its version to staff only)")),
    }
}

fn state(offering: &OfferingAnswer) -> Check {
    let shown = format!("`{}` of {}: {}", offering.name, offering.customer_name, offering.state);
    match offering.state.as_str() {
        "Active" => Check::good("offering", shown),
        "Archived" => {
            Check::failed("offering", shown, "activate it in Waldur, or remove it from the configuration")
        }
        _ => Check::warning("offering", shown, "customers cannot order it before it is active in Waldur"),
    }
}

fn components(configured: &Configured, offering: &OfferingAnswer) -> Vec<Check> {
    let load =
        "load them with `waldur_site_load_components -c FILE`, or remove them from `backend_components`";
    let known = |name: &str| offering.components.iter().find(|component| component.kind == name);
    let configured_too = |name: &str| configured.components.iter().any(|(other, ..)| other == name);
    let absent: Vec<&str> = configured
        .components
        .iter()
        .map(|(name, ..)| name.as_str())
        .filter(|name| known(name).is_none())
        .collect();
    let unused: Vec<&str> = offering
        .components
        .iter()
        .map(|component| component.kind.as_str())
        .filter(|name| !configured_too(name))
        .collect();
    let mut checks = Vec::new();
    if absent.len() == configured.components.len() && !absent.is_empty() {
        checks.push(Check::failed("components", format!("Waldur has none of {}", few(&absent)), load));
    } else if !absent.is_empty() {
        checks.push(Check::warning(
            "components",
            format!("Waldur has no {}: nobody can order them", few(&absent)),
            load,
        ));
    }
    if !unused.is_empty() {
        let detail = format!("{} can be ordered and limit nothing on the cluster", few(&unused));
        checks.push(Check::warning("components", detail, "add them to `backend_components`"));
    }
    for (name, unit, billing) in &configured.components {
        let Some(component) = known(name) else {
            continue;
        };
        let mut differs = Vec::new();
        if component.measured_unit != *unit {
            differs.push(format!("unit `{}` there, `{unit}` here", component.measured_unit));
        }
        if component.billing_type != *billing && !component.billing_type.is_empty() {
            differs.push(format!("billed by {} there, by {billing} here", component.billing_type));
        }
        if !differs.is_empty() {
            let step =
                "bring Waldur to the file with `waldur_site_load_components -c FILE`, or correct the file";
            checks.push(Check::warning("components", format!("`{name}`: {}", differs.join("; ")), step));
        }
    }
    if checks.is_empty() {
        let names: Vec<&str> = offering.components.iter().map(|component| component.kind.as_str()).collect();
        checks.push(Check::good("components", format!("the same here and there: {}", names.join(", "))));
    }
    checks
}

/// What a user may do follows from roles, which sites can change; so much is known of the usual ones.
fn permissions(me: &Me, offering: &OfferingAnswer, now: Timestamp) -> Check {
    let step = "make the user of this token an owner of the provider's organization in Waldur: only owners may approve \
                orders";
    if me.is_staff {
        return Check::good("permissions", "staff may do everything");
    }
    let in_force = me.permissions.iter().filter(|role| role.expiration_time.is_none_or(|end| end > now));
    let in_force: Vec<_> = in_force.collect();
    let owner = in_force.iter().find(|role| {
        role.role_name == "CUSTOMER.OWNER"
            && role.scope_uuid.is_some()
            && role.scope_uuid == offering.customer_uuid
    });
    let shown: Vec<String> = in_force
        .iter()
        .map(|role| match &role.scope_name {
            Some(scope) => format!("{} of {scope}", role.role_name),
            None => role.role_name.clone(),
        })
        .collect();
    if let Some(owner) = owner {
        let end = owner.expiration_time.map(|end| end.duration_since(now)).filter(|left| *left < super::SOON);
        return match end {
            Some(left) => {
                let detail = format!("the role of owner ends in {}", span(left));
                Check::warning("permissions", detail, "prolong it in Waldur")
            }
            None => Check::good("permissions", format!("may approve orders: {}", shown.join(", "))),
        };
    }
    match shown.as_slice() {
        [] => Check::failed("permissions", "the user has no role anywhere", step),
        _ if in_force.iter().all(|role| is_known_to_lack_approval(&role.role_name)) => {
            Check::failed("permissions", format!("may not approve orders: {}", shown.join(", ")), step)
        }
        _ => Check::warning(
            "permissions",
            format!("may not be enough to approve orders: {}", shown.join(", ")),
            step,
        ),
    }
}

/// Roles that have no right to approve orders of a provider, as Waldur comes.
fn is_known_to_lack_approval(role: &str) -> bool {
    let lacking = [
        "OFFERING.MANAGER",
        "CUSTOMER.OWNER",
        "CUSTOMER.SUPPORT",
        "PROJECT.ADMIN",
        "PROJECT.MANAGER",
        "PROJECT.MEMBER",
    ];
    // An owner of another organization than the provider's.
    lacking.contains(&role)
}

fn orders(orders: &Answer<Vec<Order>>, now: Timestamp) -> Option<Check> {
    let orders = match orders.as_ref()? {
        Ok(orders) => orders,
        Err(error) => return Some(failed("orders", error)),
    };
    if orders.is_empty() {
        return Some(Check::good("orders", "none is open"));
    }
    let pending = orders.iter().filter(|order| order.state == "pending-provider").count();
    let detail = format!(
        "{} open: {pending} pending, {} executing",
        count(orders.len(), "order"),
        orders.len() - pending
    );
    let oldest = orders.iter().filter_map(|order| order.created.parse::<Timestamp>().ok()).min();
    Some(match oldest.map(|oldest| now.duration_since(oldest)) {
        Some(age) if age > LONG => Check::warning(
            "orders",
            format!("{detail}; the oldest for {}", span(age)),
            "does an agent run with `-m order_process` (or event_process)? If so, its log says what the order waits for",
        ),
        _ => Check::good("orders", detail),
    })
}
