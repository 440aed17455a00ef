//! The settings as the rest of the agent sees them: typed, complete, with every default filled in.
//!
//! Plain values only. Nothing here reads files or variables; secrets are `SecretString`, so that no type prints one.

mod cluster;
mod component;
mod global;
mod offering;

pub use cluster::{
    ClusterSettings, ClusterToken, HeldQuota, Lifecycle, LimitRangeSettings, OAuthGrant, OAuthSettings,
    PemSource, RefreshTokenStore, ResourceQuantities, RestoreTo, TlsVerify, UniquenessCheck,
};
pub use component::{
    AccountingType, ComponentSettings, LimitPeriod, PortalComponent, QuotaTarget, UsageSettings,
};
pub use global::{LogLevel, LogShipping, Mode, Monitoring, Periods, Settings};
pub use offering::{
    BrokerSettings, LimitRangeItem, LimitRangeTemplate, OfferingSettings, ProjectTemplate,
    ResourceQuotaTemplate, StompSettings, TokenSource,
};
