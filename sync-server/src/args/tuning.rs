//! The options that say what is taken, and how much of the machine: those of the table `rejoin_server::options`.

use std::time::Duration;

use rejoin_server::{ServerConfig, each_option, option_reader};

/// The longest drain: the process promises to end within 10 s of a signal.
const LONGEST_DRAIN: Duration = Duration::from_secs(9);
/// Clients are promised to hear something so often.
const SLOWEST_HEARTBEAT: Duration = Duration::from_secs(15);
/// More often would be work and nothing else.
const QUICKEST_HEARTBEAT: Duration = Duration::from_millis(100);

macro_rules! declare {
    (change { $( $(#[$of:meta])* $field:ident as $change:ident: $change_type:ty = $change_read:ident $change_default:literal, $change_env:literal; )* }
     limits { $( $(#[$about:meta])* $limit:ident: $limit_type:ty = $limit_read:ident $limit_default:literal, $limit_env:literal; )* }
     config { $( $(#[$doc:meta])* $name:ident: $type:ty = $read:ident $default:literal, $env:literal; )* }) => {
        /// What is taken, and how much of the machine.
        #[derive(Debug, clap::Args)]
        #[command(next_help_heading = "Limits")]
        pub(super) struct LimitsArgs {
            $(
                $(#[$of])*
                #[arg(long, global = true, env = $change_env, value_name = stringify!($change_read),
                      value_parser = option_reader!($change_read $change_type), default_value = $change_default)]
                $change: $change_type,
            )*
            $(
                $(#[$about])*
                #[arg(long, global = true, env = $limit_env, value_name = stringify!($limit_read),
                      value_parser = option_reader!($limit_read $limit_type), default_value = $limit_default)]
                $limit: $limit_type,
            )*
            $(
                $(#[$doc])*
                #[arg(long, global = true, env = $env, value_name = stringify!($read),
                      value_parser = option_reader!($read $type), default_value = $default)]
                $name: $type,
            )*
        }

        impl LimitsArgs {
            /// Puts what was said in the place of the defaults.
            pub(super) fn apply(&self, config: &mut ServerConfig) {
                $( config.limits.change.$field = self.$change; )*
                $( config.limits.$limit = self.$limit; )*
                $( config.$name = self.$name; )*
                config.drain_timeout = self.drain_timeout.min(LONGEST_DRAIN);
                config.heartbeat = self.heartbeat.clamp(QUICKEST_HEARTBEAT, SLOWEST_HEARTBEAT);
            }
        }
    };
}

each_option!(declare);
