//! `waldur_site_agent rbac`: the manifests that give the agent its rights on the cluster. Prints, and does nothing else.

use std::path::PathBuf;

use planner::names;
use planner::policy::Flavour;

use super::{UNUSABLE, load};
use crate::rbac::{self, Names};

#[derive(Debug, clap::Args)]
pub(super) struct RbacArgs {
    /// Configuration file
    #[arg(short, long, default_value = "waldur-site-agent-config.yaml", value_name = "FILE")]
    config_file: PathBuf,
    /// For the cluster of this offering, where the configuration names several clusters
    #[arg(long, value_name = "NAME")]
    offering: Option<String>,
    /// Namespace of the service account
    #[arg(long, default_value = "waldur-system", value_parser = label)]
    namespace: String,
    /// Name of the service account, the ClusterRole and its binding
    #[arg(long, default_value = "waldur-site-agent", value_parser = label)]
    service_account: String,
    /// For a cluster without OpenShift's projects
    #[arg(long)]
    kubernetes: bool,
}

/// A name of the form that namespaces have.
fn label(text: &str) -> Result<String, String> {
    names::check_namespace(text).map(|()| text.to_owned()).map_err(|error| error.to_string())
}

pub(super) fn run(args: &RbacArgs) -> u8 {
    let Some(loaded) = load(&args.config_file, false) else {
        return UNUSABLE;
    };
    let flavour = if args.kubernetes { Flavour::Kubernetes } else { Flavour::OpenShift };
    let names = Names { namespace: args.namespace.clone(), account: args.service_account.clone() };
    match rbac::manifests(&loaded.settings, args.offering.as_deref(), flavour, &names) {
        Ok(text) => {
            anstream::print!("{text}");
            0
        }
        Err(error) => {
            anstream::eprintln!("{error:#}");
            UNUSABLE
        }
    }
}
