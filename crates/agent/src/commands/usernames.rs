//! `waldur_sync_offering_users`: gives usernames to the offering users who wait for one (Waldur contract §4.3).

use super::{Manner, complain, offering, say};
use crate::settings::Settings;

/// Looks at all of them; false if something failed or somebody still waits.
pub(crate) async fn run(settings: &Settings, manner: Manner) -> bool {
    let mut all_well = true;
    for configured in &settings.offerings {
        let named = async {
            let built = offering(settings, configured, "sync_offering_users", manner)?;
            Ok::<_, anyhow::Error>(built.name_offering_users().await?)
        };
        match named.await {
            Ok((named, 0)) => {
                say(&configured.name, &format!("{named} usernames given, nobody waits for one"))
            }
            Ok((named, waiting)) => {
                let why = "see the log, and `username_generation_policy` of the offering";
                complain(&configured.name, &format!("{named} usernames given, {waiting} still wait: {why}"));
                all_well &= manner.dry_run;
            }
            Err(error) => {
                complain(&configured.name, &format!("{error:#}"));
                all_well = false;
            }
        }
    }
    all_well
}
