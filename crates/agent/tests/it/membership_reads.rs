//! What passes read of Waldur's people, and how often.

use simulator::simulation::SimulationOptions;
use simulator::waldur::{Scope, Seed, SeedCustomer, SeedProject, SeedUser};
use uuid::Uuid;

use crate::members::{access, keeper, pass};
use crate::site::{Site, options};

/// Organizations, enough for one list of all owners to be worth it.
const ORGANIZATIONS: usize = 4;

/// A site whose agent may read all organizations, and is told everybody's roles if it is staff.
async fn start(is_staff: bool) -> Site {
    let mut seed = Seed::demo();
    seed.users
        .iter_mut()
        .filter(|user| user.username == "agent-okd")
        .for_each(|agent| agent.is_staff = is_staff);
    Site::with(SimulationOptions { seed, ..options() }).await
}

/// Adds organizations, each with a resource in a project of its own.
fn organizations(site: &Site) -> Vec<Uuid> {
    let waldur = &site.sim.waldur;
    let make = |number: usize| {
        let slug = format!("org-{number}");
        let customer = waldur.add_customer(&SeedCustomer {
            name: slug.clone(),
            slug: slug.clone(),
            ..SeedCustomer::default()
        });
        let project =
            SeedProject { name: slug.clone(), slug: format!("{slug}-web"), ..SeedProject::default() };
        let project = waldur.add_project(customer, &project);
        waldur.add_role(Scope::Customer(customer), site.owner, "CUSTOMER.OWNER", None);
        waldur.add_role(Scope::Customer(customer), site.user("agent-okd"), "CUSTOMER.SUPPORT", None);
        site.planted_in(project, &slug);
        customer
    };
    waldur.add_offering_user(site.offering, site.owner, "olivia.owner");
    (0..ORGANIZATIONS).map(make).collect()
}

/// How often owners of one organization were asked for since the last time.
fn asked(site: &Site) -> usize {
    let asked = site.waldur_requests().iter().filter(|request| request.contains("list_users")).count();
    site.sim.reset_traffic();
    asked
}

#[tokio::test]
async fn owners_are_asked_for_again_where_they_have_changed() {
    let site = start(true).await;
    let organizations = organizations(&site);
    let engine = keeper(&site.with_members());
    assert!(pass(&engine).await);
    assert_eq!(asked(&site), ORGANIZATIONS);
    assert!(pass(&engine).await);
    assert_eq!(asked(&site), 0, "one list says that nothing has changed");
    let olga = site.sim.waldur.add_user(&SeedUser::new("olga", "olga-token"));
    site.sim.waldur.add_offering_user(site.offering, olga, "olga");
    let second = Scope::Customer(organizations[1]);
    site.sim.waldur.add_role(second, olga, "CUSTOMER.OWNER", None);
    assert!(pass(&engine).await);
    assert_eq!(asked(&site), 1);
    assert_eq!(site.access("org-1"), access(&[("admin", &["olga", "olivia.owner"])]));
    assert_eq!(site.access("org-2"), access(&[("admin", &["olivia.owner"])]));
    assert!(site.sim.waldur.remove_role(second, olga, "CUSTOMER.OWNER"));
    assert!(pass(&engine).await);
    assert_eq!(asked(&site), 1);
    assert_eq!(site.access("org-1"), access(&[("admin", &["olivia.owner"])]));
}

#[tokio::test]
async fn an_agent_that_sees_its_own_roles_only_asks_each_organization_each_time() {
    let site = start(false).await;
    let organizations = organizations(&site);
    let engine = keeper(&site.with_members());
    for _ in 0..2 {
        assert!(pass(&engine).await);
        assert_eq!(asked(&site), ORGANIZATIONS);
    }
    assert!(site.sim.waldur.remove_role(Scope::Customer(organizations[0]), site.owner, "CUSTOMER.OWNER"));
    assert!(pass(&engine).await);
    assert_eq!(site.access("org-0"), access(&[]));
}
