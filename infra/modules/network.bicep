// Optional: private endpoints for storage and Key Vault, and a fixed outgoing address; in a network of its own, or in
// subnets and DNS zones that exist. https://learn.microsoft.com/azure/azure-functions/functions-networking-options

param common { token: string, location: string, tags: { *: string } }
// IPv4 range of the network that is made; it must not overlap with networks that it will be peered with.
param addressPrefix string
param natGateway bool // Give the network that is made a fixed outgoing address
// Resource id of an existing subnet for the app's outgoing traffic; empty = a network is made.
param existingAppSubnetId string
// Resource id of an existing subnet for private endpoints; empty = in the network that is made.
param existingEndpointSubnetId string
// Resource id of the group that has the private DNS zones; `policy` = no records are made here; empty = zones are made.
param dnsZonesGroupId string
param storageId string // Resource id of the storage account to reach through private endpoints; empty = no endpoints
param vaultId string // Resource id of the vault to reach through a private endpoint

var own = empty(existingAppSubnetId)
var storageSuffix = environment().suffixes.storage
var endpoints = empty(storageId) ? [] : [
  { name: 'blob', target: storageId, zone: 'privatelink.blob.${storageSuffix}' }
  { name: 'queue', target: storageId, zone: 'privatelink.queue.${storageSuffix}' }
  { name: 'table', target: storageId, zone: 'privatelink.table.${storageSuffix}' }
  { name: 'vault', target: vaultId, zone: 'privatelink.vaultcore.azure.net' }
]
var newZones = empty(dnsZonesGroupId) ? endpoints : []
var recorded = dnsZonesGroupId == 'policy' ? [] : endpoints
var appSubnet = own ? '${network.id}/subnets/app' : existingAppSubnetId
var endpointSubnet = empty(existingEndpointSubnetId) ? '${network.id}/subnets/endpoints' : existingEndpointSubnetId

// Zones that are made belong to the network whose machines shall find the endpoints: that of the subnet, if it exists.
var linkedNetworkId = own ? network.id : split(existingAppSubnetId, '/subnets/')[0]

resource address 'Microsoft.Network/publicIPAddresses@2024-05-01' = if (own && natGateway) {
  name: 'pip-${common.token}'
  location: common.location
  tags: common.tags
  sku: { name: 'Standard' }
  properties: { publicIPAllocationMethod: 'Static', publicIPAddressVersion: 'IPv4' }
}

resource nat 'Microsoft.Network/natGateways@2024-05-01' = if (own && natGateway) {
  name: 'nat-${common.token}'
  location: common.location
  tags: common.tags
  sku: { name: 'Standard' }
  properties: { publicIpAddresses: [{ id: address.id }] }
}

resource network 'Microsoft.Network/virtualNetworks@2024-05-01' = if (own) {
  name: 'vnet-${common.token}'
  location: common.location
  tags: common.tags
  properties: {
    addressSpace: { addressPrefixes: [addressPrefix] }
    subnets: [
      {
        name: 'app'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, 26, 0)
          delegations: [{ name: 'flex-consumption', properties: { serviceName: 'Microsoft.App/environments' } }]
          natGateway: natGateway ? { id: nat.id } : null
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, 26, 1)
          privateEndpointNetworkPolicies: 'Disabled'
        }
      }
    ]
  }
}

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' = [
  for item in newZones: {
    name: item.zone
    location: 'global'
    tags: common.tags
  }
]

resource link 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [
  for (item, index) in newZones: {
    parent: zone[index]
    name: 'link-${common.token}'
    location: 'global'
    tags: common.tags
    properties: {
      registrationEnabled: false
      virtualNetwork: { id: linkedNetworkId }
    }
  }
]

resource endpoint 'Microsoft.Network/privateEndpoints@2024-05-01' = [
  for item in endpoints: {
    name: 'pep-${item.name}-${common.token}'
    location: common.location
    tags: common.tags
    properties: {
      subnet: { id: endpointSubnet }
      privateLinkServiceConnections: [
        { name: item.name, properties: { privateLinkServiceId: item.target, groupIds: [item.name] } }
      ]
    }
  }
]

resource record 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2024-05-01' = [
  for (item, index) in recorded: {
    parent: endpoint[index]
    name: 'default'
    properties: {
      privateDnsZoneConfigs: [
        {
          name: item.name
          properties: {
            privateDnsZoneId: empty(dnsZonesGroupId)
              ? resourceId('Microsoft.Network/privateDnsZones', item.zone)
              : '${dnsZonesGroupId}/providers/Microsoft.Network/privateDnsZones/${item.zone}'
          }
        }
      ]
    }
    dependsOn: [
      zone
    ]
  }
]

output appSubnetId string = appSubnet // Resource id of the subnet for the app's outgoing traffic
// The fixed address that the app calls from; empty = none of ours.
output outgoingAddress string = own && natGateway ? address!.properties.ipAddress : ''
