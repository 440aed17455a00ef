//! `waldur_site_agent adopt` and `abandon`: whose projects are.

use planner::desired::Command;
use planner::render;

use super::FAILED;
use super::plan::{Common, complain, consider_all, run};
use crate::engine::Named;

#[derive(Debug, clap::Args)]
pub(super) struct AdoptArgs {
    #[command(flatten)]
    common: Common,
    /// Resources to take over, by namespace, UUID or slug; without any all are listed and nothing is changed
    #[arg(value_name = "NAMESPACE|RESOURCE")]
    named: Vec<String>,
    /// Take over all that are listed
    #[arg(long)]
    yes: bool,
    /// Only show what would be changed
    #[arg(long)]
    dry_run: bool,
    /// Print what would be changed as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct AbandonArgs {
    #[command(flatten)]
    common: Common,
    /// Resources to give up, by namespace, UUID or slug
    #[arg(value_name = "NAMESPACE|RESOURCE", required = true)]
    named: Vec<String>,
    /// Only show what would be changed
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn adopt(args: &AdoptArgs) -> u8 {
    let act = (args.yes || !args.named.is_empty()) && !args.dry_run;
    run(&args.common, "adopt", async |settings, options| {
        let (engine, mut considered) =
            consider_all(settings, options, Named(&args.named), Command::Adopt).await?;
        if args.named.is_empty() {
            considered.retain_adoptable();
        }
        if args.json {
            anstream::println!("{:#}", render::json(&considered.plans));
        } else {
            anstream::print!("{}", render::text(&considered.plans));
        }
        let mut failed = complain(&considered);
        if !act {
            if !considered.plans.is_empty() && !args.json {
                anstream::println!(
                    "nothing was changed; take over with `waldur_site_agent adopt -c {} NAMESPACE…`, or all with `--yes`",
                    args.common.config_file.display()
                );
            }
            return Ok(if failed { FAILED } else { 0 });
        }
        // What is refused stays, and is no success where it was named.
        failed |= considered.plans.iter().any(planner::render::Planned::is_refused);
        considered.plans.retain(|planned| !planned.is_refused());
        let done = engine.carry_out(&considered).await;
        Ok(if done && !failed { 0 } else { FAILED })
    })
}

pub(super) fn abandon(args: &AbandonArgs) -> u8 {
    run(&args.common, "abandon", async |settings, options| {
        let (engine, considered) =
            consider_all(settings, options, Named(&args.named), Command::Abandon).await?;
        anstream::print!("{}", render::text(&considered.plans));
        if complain(&considered) {
            return Ok(FAILED);
        }
        if args.dry_run {
            return Ok(0);
        }
        let done = engine.carry_out(&considered).await;
        Ok(if done { 0 } else { FAILED })
    })
}
